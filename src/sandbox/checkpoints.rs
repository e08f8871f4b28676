use hyper::Request;
use hyper::body::Bytes;

use super::reply::{Reply, invalid, read_object, unsigned};
use super::state::Shared;
use crate::facts::Digest;
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::{Submission, WitnessError, verify_fork_evidence, verify_receipt};

/// `POST …/witness/checkpoints` (section 6): what `witness-checkpoint` prints, a receipt or fork evidence.
pub(super) fn post(shared: &Shared, installation: &str, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let key = shared.state().witness_key(installation).ok_or_else(Reply::unknown_installation)?;
    let (submission, hash) = verify(&read_object(request)?, &key)?;
    if submission.witness_id != installation {
        return Err(invalid("the witness is another installation"));
    }
    let mut state = shared.state();
    let new = state.keep(installation, hash);
    state.counts.checkpoints += u64::from(new);
    Ok(Reply::recorded(new, Object::new().with("recorded", hash.to_string())))
}

/// Verifies what is there, and that the members around it say the same. Gives the hash that was signed.
fn verify(object: &Object, key: &PublicKey) -> Result<(Submission, Digest), Reply> {
    let member = |name| object.get(name).unwrap_or(&Value::Null);
    let accepted = member("accepted").as_bool().ok_or_else(|| invalid("accepted is neither true nor false"))?;
    match (accepted, member("receipt"), member("forkEvidence")) {
        (true, Value::Object(receipt), Value::Null) => {
            let statement = verify_receipt(receipt, key).map_err(|error| refusal(&error))?;
            let hash = statement.preimage().hash();
            Ok((statement.submission, hash))
        }
        (false, Value::Null, Value::Object(evidence)) => {
            let evidence = verify_fork_evidence(evidence, key).map_err(|error| refusal(&error))?;
            let hash = evidence.preimage().hash();
            Ok((evidence.submission, hash))
        }
        _ => Err(invalid("neither an accepted receipt alone nor fork evidence alone")),
    }
}

fn refusal(error: &WitnessError) -> Reply {
    match error {
        WitnessError::Form(form) if form.member() != "public_key.public_key_hex" => invalid(&error.to_string()),
        WitnessError::Form(_) => unsigned("the public key is not the installation's"),
        WitnessError::Signature(_) => unsigned(&error.to_string()),
    }
}
