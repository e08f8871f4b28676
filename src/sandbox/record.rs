use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use crate::protocol::json::Object;

/// A file with a line for each request, so that a test can search every byte that was received.
pub(super) struct Record(Mutex<File>);

impl Record {
    /// Opens the file; what is there stays.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(file)))
    }

    /// Appends a line. `answered` is the status, where there is an answer. Blocks for one write: the line has to be
    /// there before the answer is.
    pub(super) fn append(
        &self,
        connection: u64,
        request: &Request<Bytes>,
        answered: Option<StatusCode>,
    ) -> io::Result<()> {
        let line = Object::new()
            .with("method", request.method().as_str())
            .with("path", request.uri().to_string())
            .with("headers", headers(request))
            .with("connection", connection)
            .with("answered", answered.map(|status| u32::from(status.as_u16())));
        let line = match std::str::from_utf8(request.body()) {
            Ok(text) => line.with("body", text),
            Err(_) => line.with("body_hex", hex::encode(request.body())),
        };
        let mut bytes = line.to_canonical();
        bytes.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }
}

/// Names in lower case; values of a name that is repeated, behind one another.
fn headers(request: &Request<Bytes>) -> Object {
    let mut headers = Object::new();
    for name in request.headers().keys() {
        let values: Vec<_> =
            request.headers().get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        headers.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    headers
}
