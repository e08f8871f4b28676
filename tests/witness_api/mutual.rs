use std::fs;
use std::path::Path;
use std::sync::Arc;

use local_vault::facts::Digest;
use local_vault::http::mutual::Files;
use local_vault::protocol::json;
use local_vault::protocol::witness::Submission;
use local_vault::witness::Submitter;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData as _,
};
use reqwest::{Certificate, Client, Identity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::server::{Server, listed};
use super::witness::checkpoint;

/// An authority of submitters and of our own certificate.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Who connects with a certificate.
pub(crate) struct Guest {
    pub(crate) key: Digest,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn write_server_files(&self, folder: &Path) -> Files {
        let (certificate, key) = self.issue(&["localhost"], ExtendedKeyUsagePurpose::ServerAuth);
        let path = |name: &str, text: String| {
            fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        Files {
            certificate: path("server.pem", certificate),
            key: path("server.key", key.serialize_pem()),
            client_ca: path("ca.pem", self.0.pem()),
        }
    }

    pub(crate) fn guest(&self) -> Guest {
        let (certificate, key) = self.issue(&["guest"], ExtendedKeyUsagePurpose::ClientAuth);
        Guest { key: Digest::of(&key.subject_public_key_info()), pem: certificate + &key.serialize_pem() }
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (String, KeyPair) {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key)
    }

    /// What such a client is made of.
    fn tls(&self, guest: &Guest) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.0.pem().as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(guest.pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(guest.pem.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        config.with_client_auth_cert(chain, key).unwrap()
    }

    /// A client that trusts this authority, with a certificate where it has one.
    pub(crate) fn client(&self, guest: Option<&Guest>) -> Client {
        let roots = [Certificate::from_pem(self.0.pem().as_bytes()).unwrap()];
        let builder = Client::builder().tls_certs_only(roots).no_proxy();
        let builder = match guest {
            Some(guest) => builder.identity(Identity::from_pem(guest.pem.as_bytes()).unwrap()),
            None => builder,
        };
        builder.build().unwrap()
    }
}

/// A server that knows one key, and whose that is.
pub(crate) fn with_a_guest(tenants: &[&str]) -> (Server, Client) {
    // The list needs the key before there is a server.
    let authority = Authority::new();
    let guest = authority.guest();
    let submitter = Submitter { key: Some(guest.key), ..listed("remote", tenants) };
    let server = Server::of_authority(vec![submitter], authority);
    let client = server.authority.client(Some(&guest));
    (server, client)
}

async fn submit(client: &Client, port: u16, submission: &Submission) -> Result<(u16, json::Object), reqwest::Error> {
    let url = format!("https://localhost:{port}/witness/v1/checkpoints");
    let body = submission.to_object().to_canonical();
    let answer = client.post(url).header("content-type", "application/json").body(body).send().await?;
    let status = answer.status().as_u16();
    Ok((status, json::parse(&answer.bytes().await?).unwrap()))
}

#[test]
fn a_submitter_is_known_by_the_key_of_their_certificate() {
    let (server, client) = with_a_guest(&["ten_1"]);
    let (status, answer) = server.runtime().block_on(submit(&client, server.port, &checkpoint(1, None))).unwrap();
    assert_eq!(status, 201, "{answer:?}");
    let other = Submission { tenant_id: "ten_2".into(), ..checkpoint(1, None) };
    assert_eq!(server.runtime().block_on(submit(&client, server.port, &other)).unwrap().0, 403);
    // Whoever is far away is no operator.
    let url = format!("https://localhost:{}/witness/v1/changes", server.port);
    let body = r#"{"change":"add-stream","tenant_id":"ten_1","stream_id":"s","consent":"c"}"#;
    let sent = client.post(url).header("content-type", "application/json").body(body).send();
    assert_eq!(server.runtime().block_on(sent).unwrap().status().as_u16(), 403);
}

#[test]
fn a_certificate_of_ours_whose_key_nobody_listed_is_a_strangers() {
    let (server, _) = with_a_guest(&["ten_1"]);
    let stranger = server.authority.client(Some(&server.authority.guest()));
    let (status, answer) = server.runtime().block_on(submit(&stranger, server.port, &checkpoint(1, None))).unwrap();
    assert_eq!(status, 403, "{answer:?}");
}

#[test]
fn nobody_is_let_in_without_a_certificate_of_the_authority() {
    let (server, _) = with_a_guest(&["ten_1"]);
    let foreign = Authority::new().guest();
    for guest in [None, Some(&foreign)] {
        let client = server.authority.client(guest);
        server.runtime().block_on(submit(&client, server.port, &checkpoint(1, None))).unwrap_err();
    }
}

#[test]
fn each_connection_is_proved_anew() {
    let authority = Authority::new();
    let guest = authority.guest();
    let submitter = Submitter { key: Some(guest.key), ..listed("remote", &["ten_1"]) };
    let server = Server::of_authority(vec![submitter], authority);
    let config = Arc::new(server.authority.tls(&guest));
    for _ in 0..2 {
        let kind = server.runtime().block_on(handshake(&config, server.port));
        // A ticket would come before the answer, and the next connection would be resumed.
        assert_eq!(kind, Some(HandshakeKind::Full));
    }
}

/// Asks for something, and says how the connection was made.
async fn handshake(config: &Arc<ClientConfig>, port: u16) -> Option<HandshakeKind> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await.unwrap();
    let request = b"GET /witness/v1/heads HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // Where it closes without a word of that is its affair.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    stream.get_ref().1.handshake_kind()
}
