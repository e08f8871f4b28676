//! The record of an epoch's data key (section 10), ours. It is signed in custody, and verified before anything
//! is unwrapped.

use super::json::Object;
use super::member::{self, MemberError};
use super::{Algorithm, Domain, Preimage};
use crate::facts::{Digest, Timestamp};

/// What is signed about one epoch. The wrapped key is stored beside the record and bound by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// The spool whose records the key seals.
    pub spool_id: String,
    /// The epoch's number.
    pub epoch: u32,
    /// How the data key is wrapped. Fixed by the wrapping key, recorded so that a change shows.
    pub scheme: String,
    /// The id of the wrapping key.
    pub key_id: String,
    /// The hash of the wrapped data key.
    pub wrapped_sha256: Digest,
    /// The hash of the context that it is wrapped under.
    pub context_sha256: Digest,
    /// The hash of what the data key sealed to commit to itself.
    pub commitment_sha256: Digest,
    /// When the epoch began.
    pub created_at: Timestamp,
    /// The algorithm of the signature, which is bound by it.
    pub alg: Algorithm,
    /// The id of the signing key, bound too.
    pub kid: String,
}

impl EpochRecord {
    /// The stored form, without the signature.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("spool_id", self.spool_id.as_str())
            .with("epoch", self.epoch)
            .with("scheme", self.scheme.as_str())
            .with("key_id", self.key_id.as_str())
            .with("wrapped_sha256", self.wrapped_sha256.to_string())
            .with("context_sha256", self.context_sha256.to_string())
            .with("commitment_sha256", self.commitment_sha256.to_string())
            .with("created_at", self.created_at.to_string())
            .with("alg", self.alg.name())
            .with("kid", self.kid.as_str())
    }

    /// What is signed.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Epoch, &self.to_object())
    }

    /// Reads the stored form strictly. An unknown member is refused.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let record = Self {
            spool_id: member::text(object, "spool_id")?,
            epoch: member::number(object, "epoch")?,
            scheme: member::text(object, "scheme")?,
            key_id: member::text(object, "key_id")?,
            wrapped_sha256: member::digest(object, "wrapped_sha256")?,
            context_sha256: member::digest(object, "context_sha256")?,
            commitment_sha256: member::digest(object, "commitment_sha256")?,
            created_at: member::time(object, "created_at")?,
            alg: member::named(object, "alg", Algorithm::from_name)?,
            kid: member::text(object, "kid")?,
        };
        member::same(&record.to_object(), object)?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EpochRecord {
        EpochRecord {
            spool_id: "spl_1".into(),
            epoch: 1,
            scheme: "aes-256-gcm".into(),
            key_id: "root".into(),
            wrapped_sha256: Digest::of(b"wrapped"),
            context_sha256: Digest::of(b"context"),
            commitment_sha256: Digest::of(b"commitment"),
            created_at: Timestamp::from_millis(1_800_000_000_000),
            alg: Algorithm::Es256,
            kid: "rec_1".into(),
        }
    }

    #[test]
    fn a_record_reads_back_as_itself() {
        assert_eq!(EpochRecord::from_object(&record().to_object()), Ok(record()));
    }

    #[test]
    fn an_unknown_member_or_algorithm_is_refused() {
        for (member, value) in [("note", "x"), ("alg", "none"), ("epoch", "1")] {
            let error = EpochRecord::from_object(&record().to_object().with(member, value)).unwrap_err();
            assert_eq!(error.member(), member);
        }
    }
}
