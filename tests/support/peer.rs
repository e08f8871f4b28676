//! Another witness, which tells over mTLS what it has witnessed, until the test ends.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use local_vault::custody::SharedSigningKey;
use local_vault::facts::Timestamp;
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::{Statement, Submission, receipt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Peer {
    /// Its `/witness/v1`.
    pub(crate) url: String,
}

impl Peer {
    /// Answers with these checkpoints, one a page, signed with `key`. Writes into `folder` who certifies it, `ca.pem`, and
    /// what it lets in: `client.pem` and `client.key`.
    pub(crate) async fn start(folder: &Path, key: &SharedSigningKey, heads: &[Submission]) -> Self {
        Self::saying(folder, key, heads, Object::new()).await
    }

    /// The same, and says that an incident stopped it.
    pub(crate) async fn stopped(folder: &Path, key: &SharedSigningKey, heads: &[Submission]) -> Self {
        Self::saying(folder, key, heads, Object::new().with("stopped", "rolled-back")).await
    }

    async fn saying(folder: &Path, key: &SharedSigningKey, heads: &[Submission], page: Object) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/witness/v1", listener.local_addr().unwrap().port());
        let acceptor = TlsAcceptor::from(Arc::new(tls(folder)));
        let heads: Arc<Vec<Object>> = Arc::new(heads.iter().map(|head| signed(key, head)).collect());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(acceptor.clone(), stream, heads.clone(), page.clone()));
            }
        });
        Self { url }
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, heads: Arc<Vec<Object>>, page: Object) {
    // Who shows no certificate is not let in.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let after = request.strip_prefix("GET /witness/v1/heads?after=").unwrap().split(' ').next().unwrap();
    let after: usize = after.parse().unwrap();
    let page = page.with("heads", heads.iter().skip(after).take(1).cloned().collect::<Vec<_>>());
    let next = (after + 1 < heads.len()).then_some(after as u64 + 1);
    let page = next.iter().fold(page, |page, next| page.with("next", *next)).to_canonical();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
    stream.write_all(&[head.as_bytes(), &page].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
}

fn signed(key: &SharedSigningKey, head: &Submission) -> Object {
    let submission = Submission { witness_id: "ins_peer".into(), ..head.clone() };
    let accepted_at = Timestamp::from_millis(1_800_000_000_000);
    let statement = Statement { submission, key_epoch: "peer-1".into(), accepted_at };
    receipt("lwr_1", &statement, key.public_key(), &key.sign(&statement.preimage()).unwrap())
}

fn tls(folder: &Path) -> ServerConfig {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let certified = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap(), key)
    };
    let (client, client_key) = certified("client");
    fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    fs::write(folder.join("client.pem"), client.pem()).unwrap();
    fs::write(folder.join("client.key"), client_key.serialize_pem()).unwrap();

    let (certificate, key) = certified("localhost");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    config.with_client_cert_verifier(verifier).with_single_cert(vec![certificate.der().clone()], key).unwrap()
}
