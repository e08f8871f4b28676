use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode};

use super::behaviour::{Mode, Path};
use super::misbehave;
use super::receipt::Receipt;
use super::reply::{Outcome, Reply};
use super::state::{Recorded, Recording, Shared};
use crate::facts::{Clock as _, Digest, SystemClock};
use crate::protocol::ack::ErrorForm;
use crate::protocol::envelope::{Envelope, EventRequest, HEADER_ENVELOPE_HASH, HEADER_PUBLIC_KEY, HEADER_SIGNATURE};
use crate::protocol::json::{self, Object};
use crate::protocol::{Preimage, PublicKey, Signature};

/// `POST …/events` (sections 3 to 5), in the mode that is this request's turn.
pub(super) fn post(shared: &Shared, installation: &str, request: &Request<Bytes>) -> Outcome {
    let (mode, key) = {
        let mut state = shared.state();
        (state.turn(Path::Events), state.key(installation))
    };
    if let Some(outcome) = misbehave::unread(mode) {
        return outcome;
    }
    let verified = key.ok_or_else(Reply::unknown_installation).and_then(|key| verify(installation, &key, request));
    match verified {
        Ok(event) => judge(shared, mode, &event),
        Err(refusal) => {
            shared.state().counts.rejected += 1;
            refusal.into()
        }
    }
}

/// An event whose envelope was signed with the installation's key, and whose payload is the one that was signed.
struct Verified {
    envelope: Envelope,
    hash: Digest,
}

fn judge(shared: &Shared, mode: Mode, event: &Verified) -> Outcome {
    let envelope = &event.envelope;
    match mode {
        Mode::Conflict => return conflict(envelope).into(),
        Mode::Reject => {
            return refuse(envelope, StatusCode::UNPROCESSABLE_ENTITY, "rejected", "as was asked for").into();
        }
        Mode::Revoke => shared.state().revoke(&envelope.installation_id),
        _ => (),
    }
    misbehave::spoil(mode, record(shared, event))
}

fn record(shared: &Shared, event: &Verified) -> Reply {
    let envelope = &event.envelope;
    let recording = {
        let mut state = shared.state();
        if state.is_revoked(&envelope.installation_id) {
            return revoked(envelope);
        }
        state.record(envelope, SystemClock.now())
    };
    let acknowledging = |recorded: &Recorded| Receipt::of(recorded, envelope).acknowledging(envelope, &event.hash);
    match recording {
        Recording::New(recorded) => Reply::recorded(true, acknowledging(&recorded)),
        Recording::Replay(recorded) => Reply::recorded(false, acknowledging(&recorded)),
        Recording::Conflict(held) => {
            let Reply { status, body } = conflict(envelope);
            let evidence = Object::new().with("receipt", Receipt::of(&held, envelope).into_object());
            Reply::new(status, body.with("evidence", evidence))
        }
    }
}

/// Everything that needs no state but the key. A payload is judged only where the envelope is the installation's.
fn verify(installation: &str, key: &PublicKey, request: &Request<Bytes>) -> Result<Verified, Reply> {
    let body = read(request)?;
    let EventRequest { envelope, preimage, payload } = EventRequest::from_object(&body).map_err(|error| {
        let event_id = body.get_object("envelope").and_then(|envelope| envelope.get_str("event_id"));
        malformed(&error.to_string(), event_id)
    })?;
    if envelope.installation_id != installation {
        return Err(malformed("the envelope names another installation", Some(&envelope.event_id)));
    }
    if envelope.attempt == 0 {
        return Err(malformed("attempts are counted from 1", Some(&envelope.event_id)));
    }
    let hash = verify_signature(&envelope, &preimage, key, request.headers())?;
    let canonical = payload.to_canonical();
    if Digest::of(&canonical) != envelope.payload_sha256 || canonical.len() as u64 != envelope.payload_size {
        let message = "the payload is not the one that the envelope names";
        return Err(refuse(&envelope, StatusCode::UNPROCESSABLE_ENTITY, "payload_mismatch", message));
    }
    Ok(Verified { envelope, hash })
}

fn read(request: &Request<Bytes>) -> Result<Object, Reply> {
    if header(request.headers(), CONTENT_TYPE.as_str()) != Some("application/json") {
        return Err(malformed("the content type is not application/json", None));
    }
    json::parse(request.body()).map_err(|error| malformed(&error.to_string(), None))
}

/// Checks the three headers in the one form they have, hex in lower case. Gives the envelope's hash.
fn verify_signature(
    envelope: &Envelope,
    preimage: &Preimage,
    key: &PublicKey,
    headers: &HeaderMap,
) -> Result<Digest, Reply> {
    let refused = |message| refuse(envelope, StatusCode::UNAUTHORIZED, "signature_invalid", message);
    let hash = preimage.hash();
    if header(headers, HEADER_PUBLIC_KEY) != Some(&key.to_hex()) {
        return Err(refused("the public key is not the installation's"));
    }
    if header(headers, HEADER_ENVELOPE_HASH) != Some(&hash.to_string()) {
        return Err(refused("the hash is not the envelope's"));
    }
    let text = header(headers, HEADER_SIGNATURE).unwrap_or_default();
    let signature = Signature::from_hex(text).ok().filter(|signature| signature.to_hex() == text);
    let verified = signature.is_some_and(|signature| key.verify(preimage, &signature).is_ok());
    if verified { Ok(hash) } else { Err(refused("the signature does not verify")) }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn malformed(message: &str, event_id: Option<&str>) -> Reply {
    Reply::about(StatusCode::BAD_REQUEST, "envelope_invalid", message, event_id)
}

fn refuse(envelope: &Envelope, status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::about(status, code, message, Some(&envelope.event_id))
}

fn conflict(envelope: &Envelope) -> Reply {
    let message = "another content is recorded under this source_ref";
    refuse(envelope, StatusCode::CONFLICT, "source_ref_conflict", message)
}

fn revoked(envelope: &Envelope) -> Reply {
    let form = ErrorForm {
        code: "installation_revoked".into(),
        message: "this installation was revoked".into(),
        event_id: None,
        installation_id: Some(envelope.installation_id.clone()),
    };
    Reply::new(StatusCode::FORBIDDEN, form.to_object())
}
