//! The checkpoint witness as pure functions (section 6): what is decided about a checkpoint, what is signed, and how
//! a third party verifies it.

mod admit;
mod bundle;
mod decide;
mod document;
mod feed;
mod fork;
mod posted;
mod receipt;
mod rollover;
mod signed;

pub(super) use fork::ambiguous_history;

pub use admit::{Admission, Known, Refusal, Rules, admit};
pub use bundle::{BundleError, Class, ForkBundle, class};
pub use decide::{Decision, Head, decide};
pub use document::{document_preimage, signed_document, verify_document};
pub use feed::{Item, Malformed, Page, PageError};
pub use fork::{ForkEvidence, fork_evidence_for_verifiers, sealed_fork_evidence, verify_fork_evidence};
pub use posted::Posted;
pub use receipt::{Statement, receipt, verify_receipt};
pub use rollover::{KeyName, Rollover};
pub use signed::SubmitterSignature;

use super::json::{Object, Value};
use super::member::{self, MemberError};
use super::{InvalidSignature, PublicKey, Signature};
use crate::facts::Digest;

const PROTOCOL: &str = "ATTESTO-PROOFSTREAM-001";
const PROTOCOL_VERSION: &str = "0.1-alpha";
const ALG: &str = "ed25519";

/// A checkpoint that a stream's owner submits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Who witnesses: the installation id.
    pub witness_id: String,
    /// Whose stream.
    pub tenant_id: String,
    /// Which stream.
    pub stream_id: String,
    /// The submitter's name for the checkpoint.
    pub checkpoint_id: String,
    /// Its number, from 1.
    pub checkpoint_seq_no: i64,
    /// Its hash, 64 lower-case hex digits.
    pub checkpoint_hash: String,
    /// The hash of the checkpoint before it, where there is one.
    pub previous_checkpoint_hash: Option<String>,
}

impl Submission {
    /// The wire form.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("witness_id", self.witness_id.as_str())
            .with("tenant_id", self.tenant_id.as_str())
            .with("stream_id", self.stream_id.as_str())
            .with("checkpoint_id", self.checkpoint_id.as_str())
            .with("checkpoint_seq_no", self.checkpoint_seq_no)
            .with("checkpoint_hash", self.checkpoint_hash.as_str())
            .with("previous_checkpoint_hash", self.previous_checkpoint_hash.clone())
    }

    /// Reads the wire form strictly, but for two members that may be left out: who witnesses, which is then
    /// `witness_id`, and the hash of a predecessor where there is none. What [`check`](Self::check) refuses is read.
    pub fn from_object(object: &Object, witness_id: &str) -> Result<Self, MemberError> {
        let mut object = object.clone();
        if matches!(object.get("witness_id"), None | Some(Value::Null)) {
            object = object.with("witness_id", witness_id);
        }
        if object.get("previous_checkpoint_hash").is_none() {
            object = object.with("previous_checkpoint_hash", Value::Null);
        }
        let submission = Self {
            witness_id: member::text(&object, "witness_id")?,
            tenant_id: member::text(&object, "tenant_id")?,
            stream_id: member::text(&object, "stream_id")?,
            checkpoint_id: member::text(&object, "checkpoint_id")?,
            checkpoint_seq_no: member::number(&object, "checkpoint_seq_no")?,
            checkpoint_hash: member::text(&object, "checkpoint_hash")?,
            previous_checkpoint_hash: member::nullable_text(&object, "previous_checkpoint_hash")?,
        };
        member::same(&submission.to_object(), &object)?;
        Ok(submission)
    }

    /// Refuses a number below 1 and hashes that are not 64 lower-case hex digits. To be called before anything is
    /// decided: such input changes nothing.
    pub fn check(&self) -> Result<(), SubmissionError> {
        if self.checkpoint_seq_no < 1 {
            return Err(SubmissionError::CheckpointNumber);
        }
        if !is_hash(&self.checkpoint_hash) {
            return Err(SubmissionError::CheckpointHash);
        }
        match &self.previous_checkpoint_hash {
            Some(hash) if !is_hash(hash) => Err(SubmissionError::PreviousCheckpointHash),
            _ => Ok(()),
        }
    }
}

/// Why a submission is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    /// The checkpoint's hash is malformed.
    #[error("the checkpoint hash is not 64 lower-case hex digits")]
    CheckpointHash,
    /// The checkpoint's number is out of range.
    #[error("the checkpoint number is not between 1 and 2^63-1")]
    CheckpointNumber,
    /// The previous checkpoint's hash is malformed.
    #[error("the previous checkpoint hash is not 64 lower-case hex digits")]
    PreviousCheckpointHash,
}

/// Why a receipt or fork evidence does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It is not in the wire form, contradicts itself, or names another key.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// It was signed by another key or changed since.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
}

/// The public key that a receipt or fork evidence names. A verifier has its own record of whom to trust.
pub fn named_key(object: &Object) -> Option<PublicKey> {
    object.get_object("public_key")?.get_str("public_key_hex").and_then(|hex| PublicKey::from_hex(hex).ok())
}

fn is_hash(text: &str) -> bool {
    text.parse::<Digest>().is_ok()
}

/// The members `signature` and `public_key`, which stand around what was signed. The contract calls the key's id its
/// epoch too.
fn with_key(object: Object, kid: &str, key: &PublicKey, signature: &Signature) -> Object {
    let named = || Object::new().with("alg", ALG).with("kid", kid).with("key_epoch", kid);
    object
        .with("signature", named().with("signature_hex", signature.to_hex()))
        .with("public_key", named().with("public_key_hex", key.to_hex()))
}

fn signature_of(object: &Object) -> Result<Signature, MemberError> {
    let signature = member::object(object, "signature")?;
    member::named(signature, "signature_hex", |text| Signature::from_hex(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn submission() -> Submission {
        Submission {
            witness_id: "ins_1".into(),
            tenant_id: "ten_1".into(),
            stream_id: "str_1".into(),
            checkpoint_id: "chk_2".into(),
            checkpoint_seq_no: 2,
            checkpoint_hash: "2b".repeat(32),
            previous_checkpoint_hash: Some("1a".repeat(32)),
        }
    }

    #[test]
    fn the_first_checkpoint_has_no_predecessor() {
        let first = Submission { checkpoint_seq_no: 1, previous_checkpoint_hash: None, ..submission() };
        assert_eq!(first.check(), Ok(()));
    }

    #[test]
    fn numbers_below_one_and_malformed_hashes_are_refused() {
        let cases = [
            (Submission { checkpoint_seq_no: 0, ..submission() }, SubmissionError::CheckpointNumber),
            (Submission { checkpoint_seq_no: -1, ..submission() }, SubmissionError::CheckpointNumber),
            (Submission { checkpoint_hash: "2B".repeat(32), ..submission() }, SubmissionError::CheckpointHash),
            (Submission { checkpoint_hash: "2b".repeat(31), ..submission() }, SubmissionError::CheckpointHash),
            (
                Submission { previous_checkpoint_hash: Some(String::new()), ..submission() },
                SubmissionError::PreviousCheckpointHash,
            ),
        ];
        for (submission, error) in cases {
            assert_eq!(submission.check(), Err(error));
        }
    }
}
