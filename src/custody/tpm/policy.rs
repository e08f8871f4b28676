//! Policy digests, computed apart from any TPM (Part 3, sections on TPM2_PolicyPCR, TPM2_PolicyAuthorize and
//! TPM2_PolicyAuthValue), so that a policy can be signed where there is none.

use sha2::{Digest as _, Sha256};

use super::pcr::{Selection, Value, Values, composite};

/// What a policy reference says a policy may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// Secrets that were sealed in this generation. A re-seal begins the next one, for which no earlier policy counts.
    Sealed { generation: u32 },
    /// What cannot be sealed anew: resident keys, and the halves of epochs. Every policy that was ever signed counts.
    Standing,
}

impl Reference {
    /// The bytes that are signed with a policy: what it is for, and on which box, so that one policy key may serve many.
    /// A hash, since some TPMs take 32 bytes and no more.
    pub(super) fn to_bytes(self, parent_name: &str) -> Value {
        let what = match self {
            Self::Sealed { generation } => format!("local-vault.sealed.{generation}"),
            Self::Standing => "local-vault.standing".to_owned(),
        };
        Sha256::new_with_prefix(what).chain_update([0]).chain_update(parent_name).finalize().into()
    }
}

const EMPTY: Value = [0; 32];
const POLICY_PCR: [u8; 4] = [0, 0, 0x01, 0x7f];
const POLICY_AUTHORIZE: [u8; 4] = [0, 0, 0x01, 0x6a];
const POLICY_AUTH_VALUE: [u8; 4] = [0, 0, 0x01, 0x6b];

/// The PCRs have these values.
pub(super) fn pcr(values: &Values) -> Value {
    let selection = Selection::of(values.keys().copied()).marshalled();
    extend(&EMPTY, &[&POLICY_PCR, &selection, &composite(values)])
}

/// A policy that the key of this Name has signed with this reference, for the box whose parent has that Name.
pub(super) fn authorize(key_name: &[u8], reference: Reference, parent_name: &str) -> Value {
    // Whatever was asserted before is replaced; the reference is hashed in a step of its own.
    let key = extend(&EMPTY, &[&POLICY_AUTHORIZE, key_name]);
    extend(&key, &[&reference.to_bytes(parent_name)])
}

/// And who asks knows the object's secret.
pub(super) fn auth_value(policy: &Value) -> Value {
    extend(policy, &[&POLICY_AUTH_VALUE])
}

/// Who asks knows the object's secret, and nothing else counts.
pub(super) fn auth_value_alone() -> Value {
    auth_value(&EMPTY)
}

/// What the policy key signs so that TPM2_PolicyAuthorize takes `approved` with `reference`.
pub(super) fn to_sign(approved: &Value, reference: Reference, parent_name: &str) -> Value {
    extend(approved, &[&reference.to_bytes(parent_name)])
}

fn extend(before: &Value, parts: &[&[u8]]) -> Value {
    let mut hash = Sha256::new_with_prefix(before);
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
