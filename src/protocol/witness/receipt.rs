use super::{PROTOCOL, PROTOCOL_VERSION, Submission, WitnessError, signature_of, with_key};
use crate::facts::Timestamp;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Domain, Preimage, PublicKey, Signature};

/// What a witness signs about a checkpoint that it accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The checkpoint.
    pub submission: Submission,
    /// The id of the signing key.
    pub key_epoch: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

impl Statement {
    /// The wire form.
    pub fn to_object(&self) -> Object {
        self.submission
            .to_object()
            .with("protocol", PROTOCOL)
            .with("protocol_version", PROTOCOL_VERSION)
            .with("key_epoch", self.key_epoch.as_str())
            .with("accepted_at", self.accepted_at.to_string())
    }

    /// What is signed; its hash is the statement hash.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Witness, &self.to_object())
    }

    /// Reads the wire form strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let statement = Self {
            submission: Submission {
                witness_id: member::text(object, "witness_id")?,
                tenant_id: member::text(object, "tenant_id")?,
                stream_id: member::text(object, "stream_id")?,
                checkpoint_id: member::text(object, "checkpoint_id")?,
                checkpoint_seq_no: member::number(object, "checkpoint_seq_no")?,
                checkpoint_hash: member::text(object, "checkpoint_hash")?,
                previous_checkpoint_hash: member::nullable_text(object, "previous_checkpoint_hash")?,
            },
            key_epoch: member::text(object, "key_epoch")?,
            accepted_at: member::time(object, "accepted_at")?,
        };
        member::same(&statement.to_object(), object)?;
        Ok(statement)
    }
}

/// The receipt for a statement that `key` signed. It repeats the statement's members, so that a reader finds them
/// without taking it apart.
pub fn receipt(receipt_id: &str, statement: &Statement, key: &PublicKey, signature: &Signature) -> Object {
    let preimage = statement.preimage();
    let receipt = statement
        .submission
        .to_object()
        .with("witness_receipt_id", receipt_id)
        .with("statement", statement.to_object())
        .with("statement_hash", preimage.hash().to_string())
        .with("canonical_json_hex", hex::encode(preimage.canonical()));
    with_key(receipt, &statement.key_epoch, key, signature)
}

/// Verifies a receipt with `key` alone: builds it anew from its statement, compares every member, and verifies the
/// signature. What differs is named.
pub fn verify_receipt(object: &Object, key: &PublicKey) -> Result<Statement, WitnessError> {
    let receipt_id = member::text(object, "witness_receipt_id")?;
    let statement = Statement::from_object(member::object(object, "statement")?)?;
    let signature = signature_of(object)?;
    member::same(&receipt(&receipt_id, &statement, key, &signature), object)?;
    key.verify(&statement.preimage(), &signature)?;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::protocol::InvalidSignature;
    use crate::protocol::witness::tests::submission;

    fn statement() -> Statement {
        let accepted_at = Timestamp::from_millis(1_800_000_000_000);
        Statement { submission: submission(), key_epoch: "kid_1".into(), accepted_at }
    }

    fn sealed() -> (Object, PublicKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let signature = Signature::from_bytes(key.sign(statement().preimage().as_bytes()).to_bytes());
        (receipt("lwr_1", &statement(), &public, &signature), public)
    }

    #[test]
    fn a_receipt_verifies_with_the_public_key_alone() {
        let (receipt, key) = sealed();
        assert_eq!(verify_receipt(&receipt, &key), Ok(statement()));
    }

    #[test]
    fn a_changed_copy_is_refused_by_name() {
        let (receipt, key) = sealed();
        let copies = ["canonical_json_hex", "checkpoint_hash", "statement_hash", "stream_id", "tenant_id"];
        for copy in copies {
            let error = verify_receipt(&receipt.clone().with(copy, "00".repeat(32)), &key);
            assert_eq!(error, Err(MemberError::new(copy).into()));
        }
    }

    #[test]
    fn a_changed_statement_does_not_verify_even_where_every_copy_agrees() {
        let (original, key) = sealed();
        let signature = signature_of(&original).unwrap();
        let forged = Statement { submission: Submission { checkpoint_seq_no: 3, ..submission() }, ..statement() };
        let error = verify_receipt(&receipt("lwr_1", &forged, &key, &signature), &key);
        assert_eq!(error, Err(InvalidSignature.into()));
    }

    #[test]
    fn another_key_is_refused() {
        let (receipt, _) = sealed();
        let other = PublicKey::ed25519(SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes()).unwrap();
        let error = verify_receipt(&receipt, &other);
        assert_eq!(error, Err(MemberError::new("public_key.public_key_hex").into()));
    }
}
