use std::error::Error as StdError;
use std::{io, iter};

use rustls::CertificateError;

/// Why there is no answer. Every one of these parks the destination and says nothing about the event (section 5).
///
/// Each carries fixed words only: nothing that the other side sent, no URL and no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Somebody answered who is not the receiver, or its certificate needs care.
    #[error("the receiver's certificate is refused: {0}")]
    Certificate(CertificateProblem),
    /// The connection ended before an answer began.
    #[error("the receiver closed the connection without an answer")]
    Closed,
    /// No connection: refused, no route, reset while it was made.
    #[error("no connection: {0}")]
    Connect(io::ErrorKind),
    /// No connection within its share of the deadline.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The name of the receiver, or of the proxy, does not resolve.
    #[error("the host's name does not resolve")]
    Dns,
    /// The answer broke off, or its framing is wrong.
    #[error("the answer is incomplete")]
    Incomplete,
    /// What was sent back is not HTTP/1.1.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// The proxy did not open a tunnel to the receiver.
    #[error("the proxy opened no tunnel")]
    Proxy,
    /// The connection broke during the exchange.
    #[error("the connection broke")]
    Reset,
    /// No whole answer within the deadline.
    #[error("no whole answer in time")]
    Timeout,
    /// TLS failed for another reason than the certificate.
    #[error("TLS failed")]
    Tls,
    /// The answer is longer than [`MAX_ANSWER_BYTES`](super::MAX_ANSWER_BYTES), or a page than
    /// [`MAX_PAGE_BYTES`](super::MAX_PAGE_BYTES).
    #[error("the answer is too large")]
    TooLarge,
}

/// What is wrong with the receiver's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// It is no longer valid, by our clock.
    #[error("it has expired, or this machine's clock is wrong")]
    Expired,
    /// It is not valid yet, by our clock.
    #[error("it is not valid yet, or this machine's clock is wrong")]
    NotValidYet,
    /// Anything else: malformed, revoked, not for servers.
    #[error("it does not verify")]
    Other,
    /// It names other hosts.
    #[error("it is for another host")]
    OtherHost,
    /// No trusted authority stands behind it.
    #[error("its issuer is not trusted")]
    UnknownIssuer,
    /// The chain verifies, and the key is not a pinned one.
    #[error("its key is not the pinned one")]
    UnpinnedKey,
}

impl TransportError {
    /// The Python class that the published package names in this place, or the nearest to it.
    pub const fn published_name(self) -> &'static str {
        match self {
            Self::Certificate(_) | Self::Connect(_) | Self::ConnectTimeout | Self::Dns | Self::Proxy | Self::Tls => {
                "URLError"
            }
            Self::Closed => "RemoteDisconnected",
            Self::Incomplete | Self::TooLarge => "IncompleteRead",
            Self::NotHttp => "BadStatusLine",
            Self::Reset => "ConnectionResetError",
            Self::Timeout => "TimeoutError",
        }
    }

    /// From a request that got no status line.
    pub(super) fn before_the_status(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return if error.is_connect() { Self::ConnectTimeout } else { Self::Timeout };
        }
        if error.is_dns() {
            return Self::Dns;
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::from_tls(tls);
        }
        let io = find_last_io(error).map(io::Error::kind);
        if error.is_connect() {
            return Self::while_connecting(io);
        }
        match io {
            // A TLS connection that ends without a farewell.
            Some(io::ErrorKind::UnexpectedEof) => Self::Closed,
            Some(_) => Self::Reset,
            None if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) => Self::NotHttp,
            None => Self::Closed,
        }
    }

    /// From a body that did not reach its end.
    pub(super) fn in_the_body(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self::from_tls(tls);
        }
        match find_last_io(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => Self::Reset,
            _ => Self::Incomplete,
        }
    }

    const fn while_connecting(io: Option<io::ErrorKind>) -> Self {
        match io {
            // TCP stands already when something can end: the other side hung up on the handshake.
            Some(io::ErrorKind::UnexpectedEof) => Self::Tls,
            Some(kind) => Self::Connect(kind),
            // What is left fails without the operating system: the proxy's answer.
            None => Self::Proxy,
        }
    }

    const fn from_tls(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Tls };
        Self::Certificate(match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateProblem::NotValidYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateProblem::OtherHost
            }
            CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
            CertificateError::ApplicationVerificationFailure => CertificateProblem::UnpinnedKey,
            _ => CertificateProblem::Other,
        })
    }
}

fn find<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost I/O error, since libraries wrap one in another.
fn find_last_io(error: &reqwest::Error) -> Option<&io::Error> {
    causes(error).filter_map(|cause| cause.downcast_ref()).last()
}

/// The errors behind `error`, outermost first.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(error.source(), |cause| behind(*cause))
}

/// What an I/O error wraps is not its source: that would be the source of what it wraps, one step too far.
fn behind<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}
