use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::reply::{Reply, invalid, read_object};
use super::state::Shared;
use super::trust::ed25519_key;
use crate::facts::random_id;
use crate::protocol::json::Object;

/// `POST …/enroll` (section 7). Only a request that is right uses its token up.
pub(super) fn post(shared: &Shared, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let object = read_object(request)?;
    let token = object.get_str("enrollmentToken").ok_or_else(|| invalid("enrollmentToken is missing"))?;
    let key = object.get_str("publicKeyHex").and_then(ed25519_key);
    let key = key.ok_or_else(|| invalid("publicKeyHex is not an Ed25519 public key in hex"))?;
    if object.get_str("keyId").is_none_or(str::is_empty) {
        return Err(invalid("keyId is missing"));
    }
    let mut state = shared.state();
    let Some(installation) = state.enroll(token, key) else {
        let message = "this token is unknown or was used";
        return Err(Reply::error(StatusCode::NOT_FOUND, "enrollment_token_unknown", message));
    };
    state.counts.enrollments += 1;
    Ok(Reply::new(StatusCode::OK, enrolled(&installation)))
}

fn enrolled(installation: &str) -> Object {
    Object::new()
        .with("installationId", installation)
        .with("streamId", random_id("str_"))
        .with("endpointPath", format!("/v2/local-vault/installations/{installation}/events"))
        .with("label", "sandbox")
}
