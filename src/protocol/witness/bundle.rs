use super::{
    ForkEvidence, Statement, SubmitterSignature, WitnessError, fork_evidence_for_verifiers, verify_fork_evidence,
    verify_receipt,
};
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};

/// What fork evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What the witness says that it saw. It may be answered by whoever submitted it.
    Claim,
    /// Two heads of one number, signed by one key: whoever has that key has shown two histories.
    Proof,
}

impl Class {
    /// The name, as evidence carries it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Proof => "proof",
        }
    }
}

/// Fork evidence, with all that it takes to judge it: the evidence as it was signed, the receipt that it contradicts
/// where the number was receipted before, and the submitter's signature over each of the two checkpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct ForkBundle {
    /// The number of the witness's record.
    pub n: u64,
    /// The evidence as it was signed.
    pub sealed: Object,
    /// The receipt that it contradicts.
    pub receipt: Option<Object>,
    /// The submitter's signature over the checkpoint that was receipted.
    pub receipted_signature: Option<SubmitterSignature>,
    /// The submitter's signature over the one that contradicts it.
    pub submitted_signature: Option<SubmitterSignature>,
}

/// Why a bundle does not show what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It says that it shows something else than it does.
    #[error("it says that it is {said}, and what is in it is {}", shown.name())]
    Class {
        /// What it says.
        said: String,
        /// What follows from what is in it.
        shown: Class,
    },
    /// The receipt has nothing to do with the evidence.
    #[error("the receipt in it is not of the checkpoint that the evidence contradicts")]
    Receipt,
    /// A submitter's signature is not over the checkpoint that it stands with.
    #[error("a submitter's signature in it does not verify")]
    Submitter,
    /// The evidence or the receipt does not verify.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl ForkBundle {
    /// Everything in one object, which `verify --evidence` reads, the documented verifier form beside it.
    pub fn to_object(&self, class: Class, evidence: &ForkEvidence) -> Object {
        let signature = |signature: &Option<SubmitterSignature>| signature.as_ref().map(SubmitterSignature::to_object);
        Object::new()
            .with("n", self.n)
            .with("class", class.name())
            .with("fork_evidence", self.sealed.clone())
            .with("receipt", self.receipt.clone())
            .with("receipted_signature", signature(&self.receipted_signature))
            .with("submitted_signature", signature(&self.submitted_signature))
            .with("verifier", fork_evidence_for_verifiers(evidence))
    }

    /// Whether an object says that it is one.
    pub fn is_one(object: &Object) -> bool {
        object.get("class").is_some() && object.get("fork_evidence").is_some()
    }

    /// Verifies a bundle with the witness's keys alone, of which any may have signed the receipt and any the evidence,
    /// and finds anew what it shows.
    pub fn verify(object: &Object, keys: &[PublicKey]) -> Result<(Class, ForkEvidence), BundleError> {
        let bundle = Self::from_object(object).map_err(WitnessError::from)?;
        let evidence = with_any(keys, |key| verify_fork_evidence(&bundle.sealed, key))?;
        let receipt = bundle.receipt.as_ref();
        let receipted = receipt.map(|receipt| with_any(keys, |key| verify_receipt(receipt, key))).transpose()?;
        let shown = bundle.shows(&evidence, receipted.as_ref())?;
        let said = object.get_str("class").unwrap_or_default();
        if said != shown.name() {
            return Err(BundleError::Class { said: said.to_owned(), shown });
        }
        member::same(&bundle.to_object(shown, &evidence), object).map_err(WitnessError::from)?;
        Ok((shown, evidence))
    }

    fn from_object(object: &Object) -> Result<Self, MemberError> {
        let optional = |member: &str| match object.get(member) {
            Some(Value::Null) => Ok(None),
            _ => member::object(object, member).map(|inner| Some(inner.clone())),
        };
        let signature = |member| optional(member)?.map(|inner| SubmitterSignature::from_object(&inner)).transpose();
        Ok(Self {
            n: member::number(object, "n")?,
            sealed: member::object(object, "fork_evidence")?.clone(),
            receipt: optional("receipt")?,
            receipted_signature: signature("receipted_signature")?,
            submitted_signature: signature("submitted_signature")?,
        })
    }

    fn shows(&self, evidence: &ForkEvidence, receipted: Option<&Statement>) -> Result<Class, BundleError> {
        let submitted = &evidence.submission;
        if let Some(Statement { submission, .. }) = receipted {
            let name = |s: &super::Submission| (s.witness_id.clone(), s.tenant_id.clone(), s.stream_id.clone());
            let is_rival = name(submission) == name(submitted)
                && submission.checkpoint_seq_no == submitted.checkpoint_seq_no
                && submission.checkpoint_hash != submitted.checkpoint_hash;
            if !is_rival {
                return Err(BundleError::Receipt);
            }
        }
        let verified =
            |signature: &SubmitterSignature, over| signature.verify(over).map_err(|_| BundleError::Submitter);
        if let Some(signature) = &self.submitted_signature {
            verified(signature, submitted)?;
        }
        match (&self.receipted_signature, receipted) {
            (None, _) => Ok(Class::Claim),
            // A signature over nothing.
            (Some(_), None) => Err(BundleError::Submitter),
            (Some(signature), Some(statement)) => {
                verified(signature, &statement.submission)?;
                Ok(class(Some(signature), self.submitted_signature.as_ref()))
            }
        }
    }
}

/// What verified signatures of a submitter over two heads of one number show.
pub fn class(receipted: Option<&SubmitterSignature>, submitted: Option<&SubmitterSignature>) -> Class {
    match (receipted, submitted) {
        (Some(receipted), Some(submitted)) if receipted.public_key == submitted.public_key => Class::Proof,
        _ => Class::Claim,
    }
}

/// Tries each key; what the last one showed is told.
fn with_any<T>(keys: &[PublicKey], verify: impl Fn(&PublicKey) -> Result<T, WitnessError>) -> Result<T, WitnessError> {
    let mut last = MemberError::new("public_key").into();
    for key in keys {
        match verify(key) {
            Ok(verified) => return Ok(verified),
            Err(e) => last = e,
        }
    }
    Err(last)
}
