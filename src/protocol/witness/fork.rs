use super::{Head, PROTOCOL, PROTOCOL_VERSION, Submission, WitnessError, signature_of, with_key};
use crate::facts::{Digest, Timestamp};
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Domain, Preimage, PublicKey, Signature};

const REASON: &str = "conflicting-checkpoint";

/// What a witness signs about a checkpoint that contradicts the stream's head. The submission is what we were shown;
/// nothing here proves who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkEvidence {
    /// The last checkpoint that was accepted.
    pub head: Option<Head>,
    /// The checkpoint that contradicts it.
    pub submission: Submission,
    /// When it was found.
    pub created_at: Timestamp,
}

impl ForkEvidence {
    /// The inner object, `evidence` on the wire.
    pub fn to_object(&self) -> Object {
        let (submission, head) = (&self.submission, self.head.as_ref());
        Object::new()
            .with("protocol", PROTOCOL)
            .with("protocol_version", PROTOCOL_VERSION)
            .with("witness_id", submission.witness_id.as_str())
            .with("tenant_id", submission.tenant_id.as_str())
            .with("stream_id", submission.stream_id.as_str())
            .with("reason", REASON)
            .with("last_checkpoint_id", head.map(|head| head.checkpoint_id.as_str()))
            .with("last_checkpoint_seq_no", head.map_or(0, |head| head.checkpoint_seq_no))
            .with("last_checkpoint_hash", head.map(|head| head.checkpoint_hash.as_str()))
            .with("submitted_checkpoint_id", submission.checkpoint_id.as_str())
            .with("submitted_checkpoint_seq_no", submission.checkpoint_seq_no)
            .with("submitted_checkpoint_hash", submission.checkpoint_hash.as_str())
            .with("submitted_previous_checkpoint_hash", submission.previous_checkpoint_hash.clone())
            .with("created_at", self.created_at.to_string())
    }

    /// What is signed; its hash is the evidence hash, by which evidence is deduplicated.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Fork, &self.to_object())
    }

    /// What was shown, whenever that was: the hash of the evidence without its time. The same checkpoint against the same
    /// head is one piece of evidence, however often somebody shows it.
    pub fn shown(&self) -> Digest {
        Self { created_at: Timestamp::from_millis(0), ..self.clone() }.preimage().hash()
    }

    /// Reads the inner object strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let evidence = Self {
            head: read_head(object)?,
            submission: Submission {
                witness_id: member::text(object, "witness_id")?,
                tenant_id: member::text(object, "tenant_id")?,
                stream_id: member::text(object, "stream_id")?,
                checkpoint_id: member::text(object, "submitted_checkpoint_id")?,
                checkpoint_seq_no: member::number(object, "submitted_checkpoint_seq_no")?,
                checkpoint_hash: member::text(object, "submitted_checkpoint_hash")?,
                previous_checkpoint_hash: member::nullable_text(object, "submitted_previous_checkpoint_hash")?,
            },
            created_at: member::time(object, "created_at")?,
        };
        member::same(&evidence.to_object(), object)?;
        Ok(evidence)
    }
}

/// The signed form of evidence that `key`, whose id is `kid`, signed.
pub fn sealed_fork_evidence(
    evidence_id: &str,
    evidence: &ForkEvidence,
    kid: &str,
    key: &PublicKey,
    signature: &Signature,
) -> Object {
    let sealed = Object::new()
        .with("fork_evidence_id", evidence_id)
        .with("evidence", evidence.to_object())
        .with("evidence_hash", evidence.preimage().hash().to_string());
    with_key(sealed, kid, key, signature)
}

/// Verifies the signed form with `key` alone: builds it anew from its evidence, compares every member, and verifies
/// the signature. What differs is named.
pub fn verify_fork_evidence(object: &Object, key: &PublicKey) -> Result<ForkEvidence, WitnessError> {
    let evidence_id = member::text(object, "fork_evidence_id")?;
    let evidence = ForkEvidence::from_object(member::object(object, "evidence")?)?;
    let kid = member::text(member::object(object, "signature")?, "kid")?;
    let signature = signature_of(object)?;
    member::same(&sealed_fork_evidence(&evidence_id, &evidence, &kid, key, &signature), object)?;
    key.verify(&evidence.preimage(), &signature)?;
    Ok(evidence)
}

/// The form in which a verifier shows fork evidence. It is unsigned and goes beside the signed form.
pub fn fork_evidence_for_verifiers(evidence: &ForkEvidence) -> Object {
    let submission = &evidence.submission;
    let last = evidence.head.as_ref().map(|head| (head.checkpoint_id.as_str(), head.checkpoint_hash.as_str()));
    let submitted = (submission.checkpoint_id.as_str(), submission.checkpoint_hash.as_str());
    ambiguous_history(&submission.stream_id, last.into_iter().chain([submitted]), &submission.witness_id)
}

/// The verifier's form over checkpoints, each with its id and hash, that are not of one history.
pub(in crate::protocol) fn ambiguous_history<'a>(
    stream_id: &str,
    checkpoints: impl Iterator<Item = (&'a str, &'a str)>,
    detected_by: &str,
) -> Object {
    let shown =
        checkpoints.map(|(id, hash)| Object::new().with("checkpoint_id", id).with("checkpoint_head_hash", hash));
    Object::new()
        .with("kind", "fork_evidence")
        .with("stream_id", stream_id)
        .with("conflicting_checkpoints", shown.collect::<Vec<_>>())
        .with("detected_by", detected_by)
        .with("result", "verifier_rejects_ambiguous_history")
}

fn read_head(object: &Object) -> Result<Option<Head>, MemberError> {
    if object.get("last_checkpoint_id") == Some(&Value::Null) {
        return Ok(None);
    }
    Ok(Some(Head {
        checkpoint_id: member::text(object, "last_checkpoint_id")?,
        checkpoint_seq_no: member::number(object, "last_checkpoint_seq_no")?,
        checkpoint_hash: member::text(object, "last_checkpoint_hash")?,
    }))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::protocol::InvalidSignature;
    use crate::protocol::witness::tests::submission;

    fn evidence() -> ForkEvidence {
        let head = Head { checkpoint_id: "chk_1".into(), checkpoint_seq_no: 2, checkpoint_hash: "1a".repeat(32) };
        let created_at = Timestamp::from_millis(1_800_000_000_000);
        ForkEvidence { head: Some(head), submission: submission(), created_at }
    }

    fn sealed() -> (Object, PublicKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let signature = Signature::from_bytes(key.sign(evidence().preimage().as_bytes()).to_bytes());
        (sealed_fork_evidence("lwf_1", &evidence(), "kid_1", &public, &signature), public)
    }

    #[test]
    fn evidence_verifies_with_the_public_key_alone() {
        let (object, key) = sealed();
        assert_eq!(verify_fork_evidence(&object, &key), Ok(evidence()));
    }

    #[test]
    fn evidence_without_a_head_reads_back_as_itself() {
        let first = ForkEvidence { head: None, ..evidence() };
        assert_eq!(ForkEvidence::from_object(&first.to_object()), Ok(first));
    }

    #[test]
    fn two_key_ids_in_one_object_are_refused() {
        let (object, key) = sealed();
        let public_key = object.get_object("public_key").unwrap().clone().with("kid", "kid_2");
        let error = verify_fork_evidence(&object.with("public_key", public_key), &key);
        assert_eq!(error, Err(MemberError::new("public_key.kid").into()));
    }

    #[test]
    fn changed_evidence_does_not_verify_even_where_its_hash_agrees() {
        let (object, key) = sealed();
        let signature = signature_of(&object).unwrap();
        let forged = ForkEvidence { created_at: Timestamp::from_millis(0), ..evidence() };
        let forged = sealed_fork_evidence("lwf_1", &forged, "kid_1", &key, &signature);
        assert_eq!(verify_fork_evidence(&forged, &key), Err(InvalidSignature.into()));
    }

    #[test]
    fn a_verifier_is_shown_both_checkpoints() {
        let shown = fork_evidence_for_verifiers(&evidence());
        let ids: Vec<_> = shown.get("conflicting_checkpoints").and_then(Value::as_array).unwrap().iter().collect();
        let id = |checkpoint: &Value| checkpoint.as_object().unwrap().get_str("checkpoint_id").unwrap().to_owned();
        assert_eq!(ids.into_iter().map(id).collect::<Vec<_>>(), ["chk_1", "chk_2"]);
    }
}
