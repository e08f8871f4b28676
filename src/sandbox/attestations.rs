use hyper::Request;
use hyper::body::Bytes;

use super::reply::{Reply, invalid, read_object, unsigned};
use super::state::Shared;
use crate::facts::Digest;
use crate::protocol::json::Object;
use crate::protocol::{Domain, Preimage, Signature};

/// `POST …/attestations` (section 7): verifies the signature, and looks no further into the record.
pub(super) fn post(shared: &Shared, installation: &str, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let key = shared.state().key(installation).ok_or_else(Reply::unknown_installation)?;
    let object = read_object(request)?;
    let record = object.get_object("record").ok_or_else(|| invalid("record is no object"))?;
    let signature = object.get_str("signature").and_then(|text| Signature::from_hex(text).ok());
    let signature = signature.ok_or_else(|| invalid("signature is not 128 hex digits"))?;
    let preimage = Preimage::new(Domain::Attestation, record);
    key.verify(&preimage, &signature).map_err(|error| unsigned(&error.to_string()))?;

    let attestation_ref = Digest::of(preimage.canonical());
    let mut state = shared.state();
    let new = state.keep(installation, preimage.hash());
    state.counts.attestations += u64::from(new);
    Ok(Reply::recorded(new, Object::new().with("attestation_ref", attestation_ref.to_string())))
}
