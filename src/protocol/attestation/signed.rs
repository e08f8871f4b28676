use super::{Assurance, Evidence, Record};
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::tpm::{Quoted, TpmError};
use crate::protocol::{InvalidSignature, PublicKey, Signature};

/// A record with the relay key's signature: in the file `{record, attestation_ref, signature}`, with our `evidence`
/// where there is any; on the wire `{record, signature}` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    /// What is signed.
    pub record: Record,
    /// The relay key's signature over it.
    pub signature: Signature,
    /// What else the TPM gave.
    pub evidence: Evidence,
}

/// What a signed record proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How well the relay key is kept.
    pub assurance: Assurance,
    /// What the TPM said, where the record has a quote.
    pub quoted: Option<Quoted>,
}

impl SignedRecord {
    /// The form in the file.
    pub fn to_file(&self) -> Object {
        let object = self.to_posted().with("attestation_ref", self.record.attestation_ref().to_string());
        if self.evidence.is_empty() { object } else { object.with("evidence", self.evidence.to_object()) }
    }

    /// The form that is posted.
    pub fn to_posted(&self) -> Object {
        Object::new().with("record", self.record.to_object()).with("signature", self.signature.to_hex())
    }

    /// Reads either form strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let signed = Self {
            record: member::within("record", object, Record::from_object)?,
            signature: member::named(object, "signature", |hex| Signature::from_hex(hex).ok())?,
            evidence: match object.get("evidence") {
                Some(_) => member::within("evidence", object, Evidence::from_object)?,
                None => Evidence::default(),
            },
        };
        let is_posted = object.get("attestation_ref").is_none();
        member::same(&if is_posted { signed.to_posted() } else { signed.to_file() }, object)?;
        Ok(signed)
    }

    /// Verifies everything there is, with the relay key that the verifier knows.
    pub fn verify(&self, key: &PublicKey) -> Result<Verified, AttestationError> {
        let measurement = &self.record.measurement;
        if &measurement.signing_public_key != key {
            return Err(AttestationError::OtherKey);
        }
        key.verify(&self.record.preimage(), &self.signature)?;
        let digest = measurement.digest();
        let quote = self.record.holder.quote();
        let quoted = quote.map(|quote| quote.verify(digest.as_bytes())).transpose()?;
        for certified in &self.evidence.certified_keys {
            let refused = |error| AttestationError::Certified { purpose: certified.purpose.clone(), error };
            // Without a quote nothing says which key it was that certifies.
            let quote = quote.ok_or_else(|| refused(TpmError::AkName))?;
            certified.verify(&quote.ak_public, digest.as_bytes()).map_err(refused)?;
        }
        Ok(Verified { assurance: self.record.assurance(), quoted })
    }
}

/// What does not hold about a signed record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The TPM did not certify that key.
    #[error("the certified {purpose} key: {error}")]
    Certified {
        /// What the key is for.
        purpose: String,
        /// What does not hold.
        error: TpmError,
    },
    /// It has another form.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// It is about a key that is not the one it is verified with.
    #[error("the record is of another relay key")]
    OtherKey,
    /// The quote does not hold.
    #[error("the quote does not hold: {0}")]
    Quote(#[from] TpmError),
    /// The relay key did not sign this record.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
}
