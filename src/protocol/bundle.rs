//! A delivered event in one object, ours: what was sent, what came back, and the payload where it may be shown. It
//! verifies with public keys alone, far from the spool.

use super::ack::{self, AckError, Acknowledgement};
use super::envelope::Envelope;
use super::json::{self, Object};
use super::member::{self, MemberError};
use super::source::{SourceAttestation, SourceError};
use super::{InvalidSignature, PublicKey, Signature};
use crate::facts::{Digest, Timestamp};

const KIND: &str = "local-vault.receipt.v1";

/// A delivered event with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What was sent.
    pub envelope: Envelope,
    /// The signature over it.
    pub signature: Signature,
    /// The key that made it, as the sender names it. A verifier has its own record.
    pub public_key: PublicKey,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The body of the answer, as it came.
    pub answer: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
    /// The payload, where it is shown.
    pub payload: Option<Object>,
}

/// The keys that a verifier trusts, by purpose.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    /// Sign envelopes.
    pub relay: Vec<PublicKey>,
    /// Sign source attestations.
    pub source: Vec<PublicKey>,
    /// Sign witness statements and fork evidence.
    pub witness: Vec<PublicKey>,
}

/// What a bundle proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What the receiver recorded.
    pub acknowledgement: Acknowledgement,
    /// The source attestation in the payload, verified, where there is one.
    pub attestation: Option<SourceAttestation>,
}

impl Bundle {
    /// The form that is printed and passed on.
    pub fn to_object(&self) -> Object {
        let object = Object::new()
            .with("kind", KIND)
            .with("envelope", self.envelope.to_object())
            .with("envelope_hash", self.envelope.preimage().hash().to_string())
            .with("signature_hex", self.signature.to_hex())
            .with("public_key_hex", self.public_key.to_hex())
            .with("status", u32::from(self.status))
            .with("answer_hex", hex::encode(&self.answer))
            .with("received_at", self.received_at.to_string());
        match &self.payload {
            Some(payload) => object.with("payload", payload.clone()),
            None => object,
        }
    }

    /// Whether an object says that it is a bundle.
    pub fn is_one(object: &Object) -> bool {
        object.get_str("kind") == Some(KIND)
    }

    /// Reads the form strictly. A second record of the same thing, such as the hash, must agree with the first.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let bytes = |text: &str| hex::decode(text).ok();
        let bundle = Self {
            envelope: Envelope::from_object(member::object(object, "envelope")?)?,
            signature: member::named(object, "signature_hex", |text| Signature::from_hex(text).ok())?,
            public_key: member::named(object, "public_key_hex", |text| PublicKey::from_hex(text).ok())?,
            status: member::number(object, "status")?,
            answer: member::named(object, "answer_hex", bytes)?,
            received_at: member::time(object, "received_at")?,
            payload: object.get_object("payload").cloned(),
        };
        member::same(&bundle.to_object(), object)?;
        Ok(bundle)
    }

    /// Verifies everything there is: the envelope's signature under a trusted relay key, the receipt against the
    /// envelope, the payload against the envelope, and a source attestation under a trusted source key.
    pub fn verify(&self, keys: &TrustedKeys) -> Result<Verified, BundleError> {
        if !keys.relay.contains(&self.public_key) {
            return Err(BundleError::UnknownKey { purpose: "relay" });
        }
        let preimage = self.envelope.preimage();
        self.public_key.verify(&preimage, &self.signature).map_err(|InvalidSignature| BundleError::Envelope)?;
        let answer = json::parse(&self.answer).ok().filter(|_| (200..300).contains(&self.status));
        let acknowledgement = ack::check(&self.envelope, &preimage.hash(), answer.as_ref())?;
        let attestation = self.payload.as_ref().map(|payload| self.verify_payload(payload, keys)).transpose()?;
        Ok(Verified { acknowledgement, attestation: attestation.flatten() })
    }

    fn verify_payload(&self, payload: &Object, keys: &TrustedKeys) -> Result<Option<SourceAttestation>, BundleError> {
        let canonical = payload.to_canonical();
        let same = self.envelope.payload_sha256 == Digest::of(&canonical)
            && self.envelope.payload_size == canonical.len() as u64;
        if !same {
            return Err(BundleError::Payload);
        }
        if !SourceAttestation::is_one(payload) {
            return Ok(None);
        }
        let mut verified = keys.source.iter().filter_map(|key| SourceAttestation::verify(payload, key).ok());
        match verified.next() {
            Some(attestation) => Ok(Some(attestation)),
            None if keys.source.is_empty() => Err(BundleError::UnknownKey { purpose: "source" }),
            None => Err(BundleError::Attestation(SourceError::Signature(InvalidSignature))),
        }
    }
}

/// What of a bundle does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The answer is no receipt for the envelope.
    #[error("the answer is no receipt for this envelope: {0}")]
    Answer(#[from] AckError),
    /// The source attestation does not verify.
    #[error("the source attestation does not verify: {0}")]
    Attestation(SourceError),
    /// The envelope's signature does not verify.
    #[error("the envelope's signature does not verify")]
    Envelope,
    /// The payload is not the one that was sent.
    #[error("the payload is not the one that was sent")]
    Payload,
    /// It was signed by a key that the verifier does not trust.
    #[error("it is not signed by a trusted {purpose} key")]
    UnknownKey {
        /// For which purpose a key is missing.
        purpose: &'static str,
    },
}
