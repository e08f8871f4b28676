//! mTLS: TLS 1.3 in which both sides prove themselves, and whose key the other side's is.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::serve::{Door, Guest, serve};
use super::shares::Shares;
use super::users::{LetIn, Users};
use super::{Body, Patience};
use crate::facts::Digest;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Handshakes of one address that are under way. Further connections are closed.
const HANDSHAKES: usize = 32;

/// The files that a listener proves itself with, all of them PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// Our certificate chain, our own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of those who may connect.
    pub client_ca: PathBuf,
}

/// Whoever is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The SHA-256 of the SubjectPublicKeyInfo of their certificate.
    pub key: Digest,
}

/// An address that is listened on.
pub struct Listener {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Listener {
    /// Listens. The files are read once. Blocks shortly on the disk.
    pub async fn bind(address: SocketAddr, files: &Files) -> Result<Self, MutualError> {
        let config = config(files)?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| MutualError::Listen { address, source })?;
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests by `handler`, of few whose key nobody knows, until `stop` holds true, or its sender is gone. Then
    /// nobody is let in any more, connections that wait for a next request are closed, and it returns once what is under
    /// way is answered.
    pub async fn serve<K, H, F>(self, patience: Patience, knows: K, handler: H, stop: watch::Receiver<bool>)
    where
        K: Fn(Digest) -> bool + Send + Sync + 'static,
        H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send,
    {
        let Self { listener, tls } = self;
        let (users, handshakes) = (Arc::new(Users::new(knows)), Shares::<IpAddr>::new(HANDSHAKES));
        let greet = move |(stream, from): (TcpStream, SocketAddr)| {
            let (tls, users, begun) = (tls.clone(), users.clone(), handshakes.take(from.ip()));
            async move {
                let begun = begun?;
                // Without this an answer may wait for the acknowledgement of the one before. Where it cannot be set, the
                // answers come all the same.
                let _ = stream.set_nodelay(true);
                let stream = timeout(HANDSHAKE, tls.accept(stream)).await.ok()?.ok()?;
                drop(begun);
                greeted(stream, &users)
            }
        };
        serve(listener, greet, patience, handler, stop).await;
    }
}

fn greeted<K: Fn(Digest) -> bool>(
    stream: TlsStream<TcpStream>,
    users: &Users<Digest, K>,
) -> Option<Guest<TlsStream<TcpStream>, Peer, LetIn<Digest>>> {
    // The verifier lets nobody through who has none.
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    let spki = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    let peer = Peer { key: Digest::of(&spki) };
    let let_in = users.let_in(peer.key)?;
    Some(Guest { stream, peer, let_in })
}

impl Door for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum MutualError {
    /// A file cannot be read, or is not what it should be.
    #[error("cannot use {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. It never says what is in it.
        why: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

fn config(files: &Files) -> Result<ServerConfig, MutualError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.client_ca)? {
        roots.add(authority).map_err(|e| bad(&files.client_ca, &e))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.build().map_err(|e| bad(&files.client_ca, &e))?;
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?);
    // What is wrong within a key is nobody's to read.
    let key = key.map_err(|_| bad(&files.key, &"it holds no private key in PEM form"))?;
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.map_err(|e| bad(&files.certificate, &e))?.with_client_cert_verifier(verifier);
    let mut config = config.with_single_cert(chain, key).map_err(|e| bad(&files.certificate, &e))?;
    // Each connection is proved anew: a resumed one would outlive its certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MutualError> {
    let pem = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(bad(path, &"it holds no certificate in PEM form, or one that cannot be read")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, MutualError> {
    fs::read(path).map_err(|e| bad(path, &e))
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> MutualError {
    MutualError::File { path: path.to_owned(), why: why.to_string() }
}
