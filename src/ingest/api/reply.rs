use hyper::body::Bytes;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::body::EVENT;
use crate::http::{Body, respond};
use crate::ingest::refusal::{Code, Refusal};
use crate::protocol::json::{Object, Value};
use crate::spool::Enqueued;

/// An answer in JSON.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    retry_after: Option<u64>,
    body: Object,
}

impl Reply {
    /// Where an event is: 201 where it is new, 200 where it was there before.
    pub(super) fn event(stream_id: &str, source_ref: &str, enqueued: &Enqueued) -> Self {
        let body = Object::new()
            .with("event_id", enqueued.event_id.to_string())
            .with("stream_id", stream_id)
            .with("source_ref", source_ref)
            .with("state", enqueued.state.map_or(Value::Null, |state| state.name().into()))
            .with("known", enqueued.known);
        let status = if enqueued.known { StatusCode::OK } else { StatusCode::CREATED };
        Self { status, retry_after: None, body }
    }

    /// The same as a line of the answer to a batch.
    pub(super) fn write_line(self, number: u64, out: &mut Vec<u8>) {
        let line = self.body.with("line", number).with("status", u32::from(self.status.as_u16()));
        line.write_canonical(out);
        out.push(b'\n');
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.code.status(), retry_after: refusal.retry_after, body: refusal.to_object() }
    }
}

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        let mut response = respond(reply.status, EVENT, reply.body.to_canonical());
        if let Some(seconds) = reply.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// 405, with the method that there is.
pub(super) fn not_allowed(method: &'static str) -> Response<Body> {
    let refusal = Refusal::new(Code::MethodNotAllowed, format!("{method} is all that this path knows"));
    let mut response = Response::from(Reply::from(refusal));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

/// A document that does not change.
pub(super) fn document(text: &'static str) -> Response<Body> {
    respond(StatusCode::OK, EVENT, Bytes::from_static(text.as_bytes()))
}
