//! The source attestation (section 8): a signed statement of what a source's content was, made before it is spooled.

use super::json::Object;
use super::member::{self, MemberError};
use super::{Algorithm, Domain, InvalidSignature, Preimage, PublicKey, Signature};
use crate::facts::{Digest, Timestamp};

const EVENT_TYPE: &str = "source.attestation";

/// Of what the payload hash was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadHashOf {
    /// The bytes as they are, such as a file's.
    Bytes,
    /// The canonical form of a JSON object.
    CanonicalJson,
}

impl PayloadHashOf {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::CanonicalJson => "canonical-json",
        }
    }

    /// What has that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bytes, Self::CanonicalJson].into_iter().find(|of| of.name() == name)
    }
}

/// What is signed about one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAttestation {
    /// Who attests.
    pub installation_id: String,
    /// In which stream.
    pub stream_id: String,
    /// What is attested; see [`file_source_ref`].
    pub source_ref: String,
    /// The hash of the content.
    pub payload_hash: Digest,
    /// Of what the hash was taken.
    pub payload_hash_of: PayloadHashOf,
    /// When it was signed.
    pub attested_at: Timestamp,
    /// The algorithm of the signature, which is bound by it.
    pub alg: Algorithm,
    /// The id of the signing key, bound too.
    pub kid: String,
    /// The user who submitted it over the local socket.
    pub producer_uid: Option<u32>,
    /// Whether the submitter gave a hash without its content.
    pub claimed: bool,
}

impl SourceAttestation {
    /// What is signed: the whole object but the signature.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Source, &self.object(self.local_signature()))
    }

    /// The wire form, which travels as the relay payload.
    pub fn sealed(&self, signature: &Signature) -> Object {
        self.object(self.local_signature().with("signature", signature.to_hex()))
    }

    /// Reads the wire form strictly and without verifying the signature. An unknown member is refused.
    pub fn from_object(object: &Object) -> Result<(Self, Signature), MemberError> {
        let local_signature = member::object(object, "local_signature")?;
        let attestation = Self {
            installation_id: member::text(object, "installation_id")?,
            stream_id: member::text(object, "stream_id")?,
            source_ref: member::text(object, "source_ref")?,
            payload_hash: member::digest(object, "payload_hash")?,
            payload_hash_of: member::named(object, "payload_hash_of", PayloadHashOf::from_name)?,
            attested_at: member::time(object, "attested_at")?,
            alg: member::named(local_signature, "alg", Algorithm::from_name)?,
            kid: member::text(local_signature, "kid")?,
            producer_uid: object.get("producer_uid").map(|_| member::number(object, "producer_uid")).transpose()?,
            claimed: object.get("claimed").is_some(),
        };
        let signature = member::named(local_signature, "signature", |text| Signature::from_hex(text).ok())?;
        member::same(&attestation.sealed(&signature), object)?;
        Ok((attestation, signature))
    }

    /// Reads the wire form and verifies it. The algorithm is that of `key`, which is the verifier's own record; an
    /// attestation that names another is refused.
    pub fn verify(object: &Object, key: &PublicKey) -> Result<Self, SourceError> {
        let (attestation, signature) = Self::from_object(object)?;
        if attestation.alg != key.algorithm() {
            return Err(SourceError::Algorithm);
        }
        key.verify(&attestation.preimage(), &signature)?;
        Ok(attestation)
    }

    fn local_signature(&self) -> Object {
        Object::new().with("alg", self.alg.name()).with("kid", self.kid.as_str())
    }

    fn object(&self, local_signature: Object) -> Object {
        let mut object = Object::new()
            .with("installation_id", self.installation_id.as_str())
            .with("stream_id", self.stream_id.as_str())
            .with("source_ref", self.source_ref.as_str())
            .with("event_type", EVENT_TYPE)
            .with("payload_hash", self.payload_hash.to_string())
            .with("payload_hash_of", self.payload_hash_of.name())
            .with("attested_at", self.attested_at.to_string())
            .with("local_signature", local_signature);
        if let Some(uid) = self.producer_uid {
            object = object.with("producer_uid", uid);
        }
        if self.claimed { object.with("claimed", true) } else { object }
    }
}

/// Names a file's content: the path as it was given and the first 16 hex digits of the hash, so that an edited file
/// is a new event and the same file the same event.
pub fn file_source_ref(path_as_given: &str, hash: &Digest) -> String {
    format!("{path_as_given}@{}", &hash.to_string()[..16])
}

/// Why a source attestation does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It names another algorithm than the key's.
    #[error("the attestation names another algorithm than the key's")]
    Algorithm,
    /// It is not in the wire form.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// It was signed by another key or changed since.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
}
