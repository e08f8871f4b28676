use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cli::failure::Failure;
use crate::protocol::json::{self, Object};

/// How long the service is waited for, and how long its answer may be.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where it asks a device for a signature.
const PATIENCE_OF_KEYS: Duration = Duration::from_secs(60);
const LONGEST: u64 = 4 * 1024 * 1024;

/// Why the service gave no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum AskError {
    /// Nobody listens at the socket.
    #[error("no service listens there")]
    Nobody,
    /// Somebody listens, and gave no answer in time or none that is one.
    #[error("the service does not answer")]
    Silent,
    /// It refuses.
    #[error("the service refuses: HTTP {0}")]
    Refused(u16),
    /// The socket cannot be used.
    #[error("the socket cannot be used: {0}")]
    Socket(io::ErrorKind),
}

/// Asks the service at `socket` for `path` (RFC 9112). Gives the body of a 200.
pub(in crate::cli) async fn ask(socket: &Path, path: &str) -> Result<Vec<u8>, AskError> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    match exchange(socket, request.as_bytes(), PATIENCE).await? {
        (200, body) => Ok(body),
        (status, _) => Err(AskError::Refused(status)),
    }
}

/// Posts an object there. Gives the status and the body, whatever they are.
pub(in crate::cli) async fn post(socket: &Path, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>), AskError> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    exchange(socket, &[head.as_bytes(), body].concat(), PATIENCE_OF_KEYS).await
}

async fn exchange(socket: &Path, request: &[u8], patience: Duration) -> Result<(u16, Vec<u8>), AskError> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody,
            kind => AskError::Socket(kind),
        })?;
        let mut answer = Vec::new();
        let exchanged = async {
            stream.write_all(request).await?;
            stream.take(LONGEST).read_to_end(&mut answer).await
        };
        exchanged.await.map_err(|_: io::Error| AskError::Silent)?;
        body_of(&answer)
    };
    timeout(patience, asked).await.unwrap_or(Err(AskError::Silent))
}

/// The answers of our own service have a length and are not chunked.
fn body_of(answer: &[u8]) -> Result<(u16, Vec<u8>), AskError> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(AskError::Silent)?;
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok());
    let status = status.and_then(|status| status.parse().ok()).ok_or(AskError::Silent)?;
    Ok((status, answer[end + 4..].to_vec()))
}

/// What the service said, as an object.
pub(super) fn object(answer: &[u8]) -> Result<Object, Failure> {
    json::parse(answer).map_err(|e| Failure::data(format!("the service's answer is refused: {e}"), "Is it ours?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap(), (200, b"{}".to_vec()));
        assert_eq!(body_of(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap(), (403, Vec::new()));
        for answer in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 2", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
            assert!(matches!(body_of(answer.as_bytes()), Err(AskError::Silent)), "{answer}");
        }
    }
}
