use super::Submission;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Algorithm, Domain, InvalidSignature, Preimage, PublicKey, Signature};

/// The signature of whoever submits a checkpoint, under `local-vault.checkpoint.v1`: with it two heads of one number
/// are proof that somebody else can check. Ours; the published contract knows none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmitterSignature {
    /// The submitter's key.
    pub public_key: PublicKey,
    /// Over the checkpoint as [`Submission::to_object`] writes it.
    pub signature: Signature,
}

impl SubmitterSignature {
    /// What a submitter signs.
    pub fn preimage(submission: &Submission) -> Preimage {
        Preimage::new(Domain::Checkpoint, &submission.to_object())
    }

    /// Whether it is over this checkpoint.
    pub fn verify(&self, submission: &Submission) -> Result<(), InvalidSignature> {
        self.public_key.verify(&Self::preimage(submission), &self.signature)
    }

    /// The wire form.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("alg", self.public_key.algorithm().name())
            .with("public_key_hex", self.public_key.to_hex())
            .with("signature_hex", self.signature.to_hex())
    }

    /// Reads the wire form strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let algorithm = member::named(object, "alg", Algorithm::from_name)?;
        let key = |text: &str| PublicKey::from_hex(text).ok().filter(|key| key.algorithm() == algorithm);
        let read = Self {
            public_key: member::named(object, "public_key_hex", key)?,
            signature: member::named(object, "signature_hex", |text| Signature::from_hex(text).ok())?,
        };
        member::same(&read.to_object(), object)?;
        Ok(read)
    }
}
