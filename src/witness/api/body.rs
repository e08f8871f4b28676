use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;
use tokio::time::timeout;

use crate::http::JSON;
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{Submission, SubmitterSignature};
use crate::witness::Request;
use crate::witness::refusal::{Code, Refusal};

/// The longest body, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// How long a refused body is read on, and how much of it.
const REFUSED: Duration = Duration::from_secs(2);
const REFUSED_BYTES: usize = 16 * LONGEST;

/// Refuses a body of another type or encoding, and one that is too long by what it says.
pub(super) fn check(head: &Parts, body: &Incoming) -> Result<(), Refusal> {
    let given = head.headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if !given.eq_ignore_ascii_case(JSON) {
        return Err(Refusal::new(Code::TypeUnsupported, "the Content-Type must be application/json"));
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(Code::TypeUnsupported, "a Content-Encoding is not understood"));
    }
    if body.size_hint().lower() > LONGEST as u64 { Err(too_large()) } else { Ok(()) }
}

/// The whole body as an object.
pub(super) async fn read(body: &mut Incoming, patience: Duration) -> Result<Object, Refusal> {
    let late = || Refusal::new(Code::BodyTimeout, "the body did not come in time");
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            // A client that goes away in the middle is told nothing any more.
            let frame = frame.map_err(|_| late())?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() > LONGEST {
                return Err(too_large());
            }
        }
        Ok(bytes)
    };
    let bytes = timeout(patience, read).await.map_err(|_| late())??;
    json::parse(&bytes).map_err(|e| Refusal::new(Code::BodyInvalid, e.to_string()))
}

/// Reads what is left of a body that is refused, for a moment: a client that sends all of it before it reads would find
/// a closed connection in place of its answer. One that waits to be asked for its body is not asked.
pub(super) async fn pass_over(head: &Parts, body: &mut Incoming) {
    if head.headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut left = REFUSED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(length) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Whoever takes longer finds it closed.
    let _ = timeout(REFUSED, read).await;
}

/// A submission as it is, or within an object that carries more beside it.
pub(super) fn submission(object: &Object, own: &str, caller: &str) -> Result<Request, Refusal> {
    let Some(checkpoint) = object.get_object("checkpoint") else {
        return Ok(Request::new(checkpoint_of(object, own)?, caller));
    };
    let mut request = Request::new(checkpoint_of(checkpoint, own)?, caller);
    for (name, value) in object.iter() {
        match name.as_str() {
            "checkpoint" => {}
            "known_receipts" => {
                let receipts = value.as_array().ok_or_else(|| invalid(name))?;
                let receipts = receipts.iter().map(|receipt| receipt.as_object().cloned());
                request.known = receipts.collect::<Option<_>>().ok_or_else(|| invalid(name))?;
            }
            "submitter_signature" if *value == json::Value::Null => {}
            "submitter_signature" => {
                let signature = value.as_object().and_then(|object| SubmitterSignature::from_object(object).ok());
                request.signature = Some(signature.ok_or_else(|| invalid(name))?);
            }
            _ => return Err(invalid(name)),
        }
    }
    Ok(request)
}

fn checkpoint_of(object: &Object, own: &str) -> Result<Submission, Refusal> {
    let submission = Submission::from_object(object, own);
    let submission = submission.map_err(|e| Refusal::new(Code::BodyInvalid, e.to_string()))?;
    if submission.witness_id != own {
        return Err(Refusal::new(Code::OtherWitness, "the submission is addressed to another witness"));
    }
    Ok(submission)
}

fn invalid(member: &str) -> Refusal {
    Refusal::new(Code::BodyInvalid, format!("{member} is not of its form, or has no place in a submission"))
}

fn too_large() -> Refusal {
    Refusal::new(Code::BodyTooLarge, "a body has at most 64 KiB")
}
