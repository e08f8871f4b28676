use std::future;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};

use super::behaviour::Path;
use super::body::Body;
use super::reply::{Outcome, Reply};
use super::state::Shared;
use super::{attestations, checkpoints, control, enroll, events, feed, misbehave};
use crate::protocol::json::{self, Object};

/// The connection is broken, on purpose or because the client broke it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is broken")]
pub(super) struct Broken;

/// Answers a request, after it is in the record.
pub(super) async fn answer(
    shared: &Shared,
    connection: u64,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    shared.state().counts.requests += 1;
    let Some(request) = read(request).await? else { return Ok(too_large().respond(Body::whole)) };
    let outcome = dispatch(shared, &request);
    if let Some(record) = &shared.record {
        let answered = if let Outcome::Respond(response) = &outcome { Some(response.status()) } else { None };
        // What cannot be recorded is not answered, or a test would search the record in vain.
        record.append(connection, &request, answered).map_err(|_| Broken)?;
    }
    match outcome {
        Outcome::Close => Err(Broken),
        Outcome::Respond(response) => Ok(response),
        // The connection drops this when it sees that the client has gone.
        Outcome::Stall => future::pending().await,
    }
}

/// The request with its whole body; `None` where that is larger than anything that is parsed.
async fn read(request: Request<Incoming>) -> Result<Option<Request<Bytes>>, Broken> {
    let (parts, body) = request.into_parts();
    match Limited::new(body, json::MAX_BYTES).collect().await {
        Ok(body) => Ok(Some(Request::from_parts(parts, body.to_bytes()))),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(_) => Err(Broken),
    }
}

fn dispatch(shared: &Shared, request: &Request<Bytes>) -> Outcome {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    match (request.method().as_str(), path.as_slice()) {
        ("POST", ["v2", "local-vault", "installations", id, "events"]) => events::post(shared, id, request),
        ("POST", ["v2", "local-vault", "installations", id, "attestations"]) => {
            counted(shared, attestations::post(shared, id, request))
        }
        ("POST", ["v2", "local-vault", "installations", id, "witness", "checkpoints"]) => {
            in_turn(shared, Path::Checkpoints, || checkpoints::post(shared, id, request))
        }
        ("POST", ["v2", "local-vault", "enroll"]) => counted(shared, enroll::post(shared, request)),
        ("GET", ["witness", "v1", "feed"]) => in_turn(shared, Path::Feed, || feed::get(shared, request)),
        ("POST", ["sandbox", "feed"]) => feed::put(shared, request).unwrap_or_else(|refusal| refusal).into(),
        ("GET", ["health"]) => health().into(),
        ("GET", ["sandbox", "stats"]) => control::stats(shared).into(),
        ("POST", ["sandbox", "behave"]) => control::behave(shared, request).unwrap_or_else(|refusal| refusal).into(),
        (_, ["sandbox", "trap"]) => {
            shared.state().counts.trapped += 1;
            Reply::new(StatusCode::OK, Object::new()).into()
        }
        _ => Reply::error(StatusCode::NOT_FOUND, "not_found", "there is nothing here").into(),
    }
}

/// Answers in the mode that is this request's turn.
fn in_turn(shared: &Shared, path: Path, answer: impl FnOnce() -> Result<Reply, Reply>) -> Outcome {
    let mode = shared.state().turn(path);
    if let Some(outcome) = misbehave::unread(mode) {
        return outcome;
    }
    match (misbehave::refused(mode).map_or_else(answer, Err), mode) {
        (Ok(reply), mode) => misbehave::spoil(mode, reply),
        (refused, _) => counted(shared, refused),
    }
}

fn counted(shared: &Shared, checked: Result<Reply, Reply>) -> Outcome {
    let refuse = |refusal| {
        shared.state().counts.rejected += 1;
        refusal
    };
    checked.unwrap_or_else(refuse).into()
}

/// `Date`, which clients compare with their clock, is put on every answer by hyper.
fn health() -> Reply {
    Reply::new(StatusCode::OK, Object::new().with("status", "ok"))
}

fn too_large() -> Reply {
    Reply::error(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "the body is larger than what is parsed")
}
