use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::behaviour::Step;
use super::ready;
use super::record::Record;
use super::router;
use super::state::{Shared, State};
use super::tls::Identity;
use super::trust::Trust;

/// What a sandbox is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may send, from the start.
    pub trust: Vec<Trust>,
    /// The keys of their witnesses, where these are others.
    pub trust_witnesses: Vec<Trust>,
    /// Who may enrol: each token once.
    pub enrollment_tokens: Vec<String>,
    /// How to answer the first events.
    pub behaviour: Vec<Step>,
    /// HTTP without TLS.
    pub plain_http: bool,
    /// The file that tells that and where it listens.
    pub ready_file: PathBuf,
    /// The file that gets a line for each request.
    pub record: Option<PathBuf>,
}

/// A receiver that listens.
pub struct Sandbox {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    base_url: String,
    shared: Arc<Shared>,
}

impl Sandbox {
    /// Listens, and then writes the ready file: whoever reads it may connect at once.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let installations = installations(&config.trust)?;
        let open = |path: PathBuf| Record::open(&path).map_err(|source| StartError::File { path, source });
        let record = config.record.map(open).transpose()?;
        let identity = if config.plain_http { None } else { Some(Identity::generate()) };
        let identity = identity.transpose().map_err(|error| StartError::Certificate(error.to_string()))?;

        let refused = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let port = listener.local_addr().map_err(refused)?.port();
        let base_url = format!("{}://localhost:{port}", if config.plain_http { "http" } else { "https" });
        ready::announce(&config.ready_file, &base_url, &installations, identity.as_ref())
            .map_err(|source| StartError::File { path: config.ready_file, source })?;

        let tls = identity.map(|identity| TlsAcceptor::from(identity.config));
        let state = State::new(config.trust, config.trust_witnesses, config.enrollment_tokens, config.behaviour);
        Ok(Self { listener, tls, base_url, shared: Arc::new(Shared::new(state, record)) })
    }

    /// Scheme, `localhost` and port.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Serves for as long as it is polled, each connection in a task of its own.
    pub async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => self.spawn(stream),
                // Out of file descriptors, most likely: connections have to end before the next can be taken.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn spawn(&self, stream: TcpStream) {
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        let connection = {
            let counts = &mut shared.state().counts;
            counts.connections += 1;
            counts.connections
        };
        tokio::spawn(async move {
            // Without this an answer may wait for the acknowledgement of the one before. Where it cannot be set, the
            // answers come all the same.
            let _ = stream.set_nodelay(true);
            match tls {
                None => converse(shared, connection, stream).await,
                // A client that does not trust us goes away, and there is nobody to tell.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(shared, connection, stream).await;
                    }
                }
            }
        });
    }
}

async fn converse(shared: Arc<Shared>, connection: u64, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| router::answer(&shared, connection, request));
    // How a connection ends is the client's affair, or was asked for.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn installations(trust: &[Trust]) -> Result<Vec<String>, StartError> {
    let mut seen = HashSet::new();
    match trust.iter().find(|trust| !seen.insert(&trust.installation_id)) {
        Some(twice) => Err(StartError::TrustedTwice(twice.installation_id.clone())),
        None => Ok(trust.iter().map(|trust| trust.installation_id.clone()).collect()),
    }
}

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// A file that was named cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Two keys for one installation.
    #[error("installation {0} is trusted twice")]
    TrustedTwice(String),
}
