use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION, RETRY_AFTER};

use super::behaviour::Mode;
use super::body::Body;
use super::reply::{Outcome, Reply, page};
use crate::protocol::json::{Object, Value};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// What a mode answers without a look at the event, as something between the relay and the receiver would. `None`
/// for modes that look.
pub(super) fn unread(mode: Mode) -> Option<Outcome> {
    let text = |status, content_type, text: &'static str| page(status, content_type, Body::whole(text));
    let response = match mode {
        Mode::Close => return Some(Outcome::Close),
        Mode::Stall => return Some(Outcome::Stall),
        Mode::Empty => text(StatusCode::OK, JSON, ""),
        Mode::Forbidden => text(StatusCode::FORBIDDEN, JSON, r#"{"detail":"forbidden"}"#),
        Mode::Garbage => text(StatusCode::OK, JSON, r#"{"local_vault_ack":{"accepted":tr"#),
        Mode::Html => {
            text(StatusCode::OK, HTML, "<!doctype html><title>Welcome</title><p>Accept our terms to go on.</p>")
        }
        Mode::Huge => page(StatusCode::OK, JSON, Body::huge()),
        Mode::NotFound => text(StatusCode::NOT_FOUND, JSON, r#"{"detail":"not found"}"#),
        Mode::TooMany => text(StatusCode::TOO_MANY_REQUESTS, JSON, r#"{"detail":"too many requests"}"#),
        Mode::Unauthorized => {
            text(StatusCode::UNAUTHORIZED, HTML, "<!doctype html><title>Sign in</title><p>Please sign in.</p>")
        }
        Mode::Redirect => {
            let mut response = text(StatusCode::FOUND, HTML, "");
            response.headers_mut().insert(LOCATION, HeaderValue::from_static("/sandbox/trap"));
            response
        }
        Mode::Unavailable | Mode::UnavailableLater => {
            let seconds = if mode == Mode::Unavailable { "1" } else { "120" };
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"detail":"unavailable"}"#);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
            response
        }
        _ => return None,
    };
    Some(Outcome::Respond(response))
}

/// The refusal that a mode asks for on a path where nothing has a name to repeat.
pub(super) fn refused(mode: Mode) -> Option<Reply> {
    let (status, code) = match mode {
        Mode::Conflict => (StatusCode::CONFLICT, "conflict"),
        Mode::Reject => (StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
        _ => return None,
    };
    Some(Reply::error(status, code, "as was asked for"))
}

/// What a mode makes of the answer to what was recorded. A refusal goes out as it is.
pub(super) fn spoil(mode: Mode, reply: Reply) -> Outcome {
    if !reply.status.is_success() {
        return reply.into();
    }
    let lie = |path: &[&str], value: Value| Reply::new(reply.status, replaced(reply.body.clone(), path, value)).into();
    match mode {
        Mode::HalfBody => Outcome::Respond(reply.respond(Body::broken)),
        Mode::StallBody => Outcome::Respond(reply.respond(Body::stalled)),
        Mode::EarlierReceipt => lie(&["receipt", "payload", "received_at"], "2020-01-01T00:00:00.000Z".into()),
        Mode::LieEnvelopeHash => lie(&["local_vault_ack", "envelope_hash"], "00".repeat(32).into()),
        Mode::LieEventId => lie(&["local_vault_ack", "event_id"], format!("lv_{}", "00".repeat(16)).into()),
        Mode::LieReceipt => lie(&["receipt", "payload", "event_hash"], "00".repeat(32).into()),
        Mode::LieStream => lie(&["stream_id"], "str_of_another".into()),
        Mode::MissingReceipt => lie(&["receipt"], Value::Null),
        Mode::OtherReceipt => {
            let other = |body, path: &[&str]| replaced(body, path, "11".repeat(32).into());
            let body = other(reply.body.clone(), &["event_hash"]);
            let body = other(body, &["receipt", "payload", "event_hash"]);
            Reply::new(reply.status, other(body, &["receipt", "receipt_hash"])).into()
        }
        Mode::NotAccepted => lie(&["local_vault_ack", "accepted"], false.into()),
        _ => reply.into(),
    }
}

/// `object` with the member at the end of `path` replaced.
fn replaced(object: Object, path: &[&str], value: Value) -> Object {
    match path {
        [] => object,
        [member] => object.with(member, value),
        [outer, rest @ ..] => {
            let inner = object.get_object(outer).cloned().unwrap_or_default();
            object.with(outer, replaced(inner, rest, value))
        }
    }
}
