use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::reply::{Reply, invalid, read_object, unsigned};
use super::state::Shared;
use crate::protocol::attestation::{AttestationError, SignedRecord};
use crate::protocol::json::Object;

/// `POST …/attestations` (section 7): the record strictly, signed with the installation's key, with a quote that holds.
pub(super) fn post(shared: &Shared, installation: &str, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let key = shared.state().key(installation).ok_or_else(Reply::unknown_installation)?;
    let object = read_object(request)?;
    let signed = SignedRecord::from_object(&object).map_err(|error| invalid(&error.to_string()))?;
    if object != signed.to_posted() {
        return Err(invalid("a record is posted with its signature, and nothing else"));
    }
    if !signed.record.is_published() {
        return Err(invalid("the contract knows no record of this kind"));
    }
    let verified = signed.verify(&key).map_err(|error| refusal(&error))?;

    let (record, hash) = (&signed.record, signed.record.preimage().hash());
    let mut state = shared.state();
    let new = state.keep(installation, hash);
    state.counts.attestations += u64::from(new);
    let answer = Object::new()
        .with("attestation_ref", record.attestation_ref().to_string())
        .with("assurance", verified.assurance.name());
    Ok(Reply::recorded(new, answer))
}

fn refusal(error: &AttestationError) -> Reply {
    match error {
        AttestationError::Form(error) => invalid(&error.to_string()),
        AttestationError::OtherKey | AttestationError::Signature(_) => unsigned(&error.to_string()),
        AttestationError::Certified { .. } | AttestationError::Quote(_) => {
            Reply::error(StatusCode::UNPROCESSABLE_ENTITY, "quote_invalid", &error.to_string())
        }
    }
}
