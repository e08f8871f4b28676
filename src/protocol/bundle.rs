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
        let acknowledgement = self.acknowledgement()?;
        let attestation = self.payload.as_ref().map(|payload| self.verify_payload(payload, keys)).transpose()?;
        Ok(Verified { acknowledgement, attestation: attestation.flatten() })
    }

    /// What the receiver recorded, where its answer is a receipt for this very envelope.
    pub fn acknowledgement(&self) -> Result<Acknowledgement, AckError> {
        let answer = json::parse(&self.answer).ok().filter(|_| (200..300).contains(&self.status));
        ack::check(&self.envelope, &self.envelope.preimage().hash(), answer.as_ref())
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
            // Not the installation: after a re-enrolment the new one relays what the old one attested.
            Some(attestation)
                if attestation.stream_id != self.envelope.stream_id
                    || attestation.source_ref != self.envelope.source_ref =>
            {
                Err(BundleError::Misplaced)
            }
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
    /// The source attestation is genuine, and was sent as that of another source.
    #[error("the source attestation is for another stream or source_ref than the envelope")]
    Misplaced,
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

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::protocol::source::PayloadHashOf;
    use crate::protocol::{Algorithm, Preimage};

    fn signed(seed: u8, preimage: &Preimage) -> (Signature, PublicKey) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        (Signature::from_bytes(key.sign(preimage.as_bytes()).to_bytes()), public)
    }

    /// A delivered attestation of `attested_ref`, sent under the reference `sent_ref`.
    fn bundle(attested_ref: &str, sent_ref: &str) -> (Bundle, TrustedKeys) {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let attestation = SourceAttestation {
            installation_id: "ins_old".into(),
            stream_id: "str_1".into(),
            source_ref: attested_ref.into(),
            payload_hash: Digest::of(b"a"),
            payload_hash_of: PayloadHashOf::Bytes,
            attested_at: now,
            alg: Algorithm::Ed25519,
            kid: "src_1".into(),
            producer_uid: None,
            claimed: false,
        };
        let (signature, source) = signed(1, &attestation.preimage());
        let payload = attestation.sealed(&signature);
        let canonical = payload.to_canonical();
        let envelope = Envelope {
            installation_id: "ins_1".into(),
            event_id: "lv_00000000000000000000000000000001".into(),
            stream_id: "str_1".into(),
            source_ref: sent_ref.into(),
            payload_sha256: Digest::of(&canonical),
            payload_size: canonical.len() as u64,
            attempt: 1,
            created_at: now,
            signed_at: now,
        };
        let (signature, relay) = signed(2, &envelope.preimage());
        let answer = acknowledge(&envelope);
        let keys = TrustedKeys { relay: vec![relay.clone()], source: vec![source], witness: Vec::new() };
        let bundle = Bundle {
            envelope,
            signature,
            public_key: relay,
            status: 200,
            answer,
            received_at: now,
            payload: Some(payload),
        };
        (bundle, keys)
    }

    fn acknowledge(envelope: &Envelope) -> Vec<u8> {
        let hash = "ab".repeat(32);
        let ack = Object::new()
            .with("accepted", true)
            .with("installation_id", envelope.installation_id.as_str())
            .with("event_id", envelope.event_id.as_str())
            .with("source_ref", envelope.source_ref.as_str())
            .with("envelope_hash", envelope.preimage().hash().to_string());
        let upstream = format!("local-vault:{}:{}", envelope.installation_id, envelope.source_ref);
        let payload = Object::new().with("event_id", upstream).with("event_hash", hash.as_str());
        Object::new()
            .with("local_vault_ack", ack)
            .with("stream_id", envelope.stream_id.as_str())
            .with("event_hash", hash.as_str())
            .with("receipt", Object::new().with("payload", payload).with("receipt_hash", hash.as_str()))
            .to_canonical()
    }

    #[test]
    fn a_bundle_reads_back_as_itself_and_verifies_also_after_a_re_enrolment() {
        let (bundle, keys) = bundle("a", "a");
        let read = Bundle::from_object(&bundle.to_object()).unwrap();
        assert_eq!(read, bundle);
        assert!(read.verify(&keys).unwrap().attestation.is_some());
    }

    #[test]
    fn a_genuine_attestation_under_another_reference_is_refused() {
        let (bundle, keys) = bundle("a", "b");
        assert_eq!(bundle.verify(&keys), Err(BundleError::Misplaced));
    }

    #[test]
    fn an_answer_that_is_no_success_is_no_receipt() {
        let (bundle, keys) = bundle("a", "a");
        let refused = Bundle { status: 409, ..bundle };
        assert!(matches!(refused.verify(&keys), Err(BundleError::Answer(_))));
    }
}
