use super::{Policy, Reason};
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::member::MemberError;
use crate::protocol::witness::{
    ForkEvidence, Statement, WitnessError, named_key, verify_fork_evidence, verify_receipt,
};

/// A statement that verified under a key of the policy.
pub(super) struct Known {
    /// Whose key it was, as an index into the policy.
    pub(super) witness: usize,
    pub(super) statement: Statement,
}

/// Verifies a receipt under the key that it names, where a witness of the policy has it.
pub(super) fn statement(policy: &Policy, receipt: &Object) -> Result<Known, Reason> {
    let (witness, statement) = under_known_key(policy, receipt, verify_receipt)?;
    statement.submission.check()?;
    Ok(Known { witness, statement })
}

/// Verifies sealed fork evidence in the same way.
pub(super) fn evidence(policy: &Policy, sealed: &Object) -> Result<(usize, ForkEvidence), Reason> {
    under_known_key(policy, sealed, verify_fork_evidence)
}

fn under_known_key<T>(
    policy: &Policy,
    object: &Object,
    verify: impl FnOnce(&Object, &PublicKey) -> Result<T, WitnessError>,
) -> Result<(usize, T), Reason> {
    let key = named_key(object).ok_or_else(|| MemberError::new("public_key.public_key_hex"))?;
    let Some(witness) = policy.holder(&key) else { return Err(Reason::UnknownKey(key)) };
    match verify(object, &key) {
        Ok(verified) => Ok((witness, verified)),
        Err(WitnessError::Form(e)) => Err(e.into()),
        Err(WitnessError::Signature(e)) => Err(e.into()),
    }
}
