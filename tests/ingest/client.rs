use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use local_vault::facts::EventId;
use local_vault::protocol::json::{self, Object, Value};

/// A connection that speaks HTTP/1.1 as it is told to.
pub(crate) struct Client(BufReader<UnixStream>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        // Only what is broken takes as long.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends one event.
    pub(crate) fn event(&mut self, body: &str) -> Answer {
        self.post("/v1/events", "application/json", body.as_bytes())
    }

    /// Sends a payload under a reference.
    pub(crate) fn payload(&mut self, stream_id: &str, source_ref: &str, payload: &str) -> Answer {
        self.event(&event(stream_id, source_ref, payload))
    }

    pub(crate) fn batch(&mut self, lines: &str) -> Answer {
        self.post("/v1/events:batch", "application/x-ndjson", lines.as_bytes())
    }

    pub(crate) fn post(&mut self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        self.send(head.as_bytes());
        self.send(body);
        self.read().unwrap()
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path)
    }

    /// A request without a body.
    pub(crate) fn request(&mut self, method: &str, path: &str) -> Answer {
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        self.read().unwrap()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The same, where the server may have gone.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// No more is sent.
    pub(crate) fn end(&mut self) {
        self.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The next answer; `None` where the connection ends before it is whole.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut answer = Answer { status: head.split(' ').nth(1)?.parse().ok()?, head, body: Vec::new() };
        if answer.header("transfer-encoding").is_some() {
            while self.chunk(&mut answer.body)? {}
        } else {
            answer.body.resize(answer.header("content-length").map_or(0, |length| length.parse().unwrap()), 0);
            self.0.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    /// Whether there was one more.
    fn chunk(&mut self, body: &mut Vec<u8>) -> Option<bool> {
        let mut length = String::new();
        self.0.read_line(&mut length).ok()?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..length]);
        Some(length > 0)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn object(&self) -> Object {
        json::parse(&self.body).unwrap()
    }

    /// The lines of the answer to a batch.
    pub(crate) fn lines(&self) -> Vec<Object> {
        self.body.split(|c| *c == b'\n').filter(|line| !line.is_empty()).map(|l| json::parse(l).unwrap()).collect()
    }

    pub(crate) fn event_id(&self) -> EventId {
        self.object().get_str("event_id").unwrap().parse().unwrap()
    }

    /// The code of the error.
    pub(crate) fn code(&self) -> String {
        code(&self.object())
    }

    /// This status, and this code.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", String::from_utf8_lossy(&self.body));
    }
}

pub(crate) fn event(stream_id: &str, source_ref: &str, payload: &str) -> String {
    format!(r#"{{"stream_id":"{stream_id}","source_ref":"{source_ref}","payload":{payload}}}"#)
}

pub(crate) fn code(object: &Object) -> String {
    object.get_object("error").and_then(|error| error.get_str("code")).unwrap_or_default().to_owned()
}

pub(crate) fn number(object: &Object, name: &str) -> i64 {
    object.get(name).and_then(Value::as_i64).unwrap()
}
