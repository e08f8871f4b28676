use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use local_vault::facts::Digest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A certificate authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its certificate into `folder`.
    pub(crate) fn ca_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    pub(crate) fn certify(&self, host: &str) -> Identity {
        self.certify_with(host, |_| ())
    }

    pub(crate) fn certify_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let pin = Digest::of(&key.subject_public_key_info());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Identity { config: Arc::new(config), pin }
    }
}

/// What a receiver shows in the handshake.
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    pub(crate) pin: Digest,
}

/// What a receiver does once it has read a request.
pub(crate) struct Script {
    pub(crate) says: Vec<u8>,
    pub(crate) then: Then,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// Drops the connection, over TLS without a farewell.
    Close,
    /// Sends without end, up to 2 GB.
    Flood,
    /// Breaks the connection (RST).
    Reset,
    /// Reads the next request.
    Serve,
    /// Says nothing more and keeps the connection.
    Stall,
    /// Carries bytes to this address and back.
    Tunnel(SocketAddr),
}

impl Script {
    pub(crate) fn new(says: impl Into<Vec<u8>>, then: Then) -> Self {
        Self { says: says.into(), then }
    }

    /// A whole answer, and ready for the next request.
    pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let says = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        Self::new(says, Then::Serve)
    }

    pub(crate) fn ok() -> Self {
        Self::answer("200 OK", "", "{}")
    }
}

/// Listens on a port of its own until the runtime of the test ends.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    secure: bool,
    seen: Arc<Seen>,
    flooded: mpsc::UnboundedReceiver<u64>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Each with the number of its connection.
    requests: Mutex<Vec<(usize, String)>>,
}

impl Receiver {
    /// Without an identity it speaks plain http.
    pub(crate) async fn start(identity: Option<&Identity>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, flooded) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen::default());
        let host = Host {
            acceptor: identity.map(|identity| TlsAcceptor::from(identity.config.clone())),
            script: Arc::new(script),
            seen: seen.clone(),
            tell,
        };
        tokio::spawn(host.listen(listener));
        Self { address, secure: identity.is_some(), seen, flooded }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}/v2/local-vault/installations/inst-1/events", self.address)
    }

    /// How many TCP connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The requests, head and body, as text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }

    /// For each request, the number of the connection that it came over.
    pub(crate) fn connection_of_each(&self) -> Vec<usize> {
        self.seen.requests.lock().unwrap().iter().map(|(connection, _)| *connection).collect()
    }

    /// How many bytes a flood could write before the other side had enough.
    pub(crate) async fn flooded(&mut self) -> u64 {
        self.flooded.recv().await.unwrap()
    }
}

/// What each connection is served with.
#[derive(Clone)]
struct Host {
    acceptor: Option<TlsAcceptor>,
    script: Arc<Script>,
    seen: Arc<Seen>,
    tell: mpsc::UnboundedSender<u64>,
}

impl Host {
    async fn listen(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let number = self.seen.connections.fetch_add(1, Ordering::SeqCst);
            if self.script.then == Then::Reset {
                stream.set_zero_linger().unwrap();
            }
            tokio::spawn(self.clone().serve(stream, number));
        }
    }

    async fn serve(self, stream: TcpStream, number: usize) {
        let Some(acceptor) = &self.acceptor else { return self.follow(stream, number).await };
        // A client that refuses the certificate ends the handshake, and with it this task.
        if let Ok(stream) = acceptor.accept(stream).await {
            self.follow(stream, number).await;
        }
    }

    async fn follow(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, number: usize) {
        while let Some(request) = read_request(&mut stream).await {
            self.seen.requests.lock().unwrap().push((number, request));
            if stream.write_all(&self.script.says).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            match self.script.then {
                Then::Close | Then::Reset => return,
                Then::Flood => return self.tell.send(flood(&mut stream).await).unwrap(),
                Then::Serve => {}
                Then::Stall => std::future::pending().await,
                Then::Tunnel(address) => {
                    let mut other = TcpStream::connect(address).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
                    return;
                }
            }
        }
    }
}

/// Head and body of a request, or nothing where the connection ends first.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= head + 4 + length {
                return Some(String::from_utf8(bytes).unwrap());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn flood(stream: &mut (impl AsyncWrite + Unpin)) -> u64 {
    let block = [b' '; 65536];
    let mut written = 0;
    while written < 2_000_000_000 {
        let Ok(count) = stream.write(&block).await else { break };
        written += count as u64;
    }
    written
}
