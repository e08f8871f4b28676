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
    /// Whether an object says that it is a source attestation.
    pub fn is_one(object: &Object) -> bool {
        object.get_str("event_type") == Some(EVENT_TYPE)
    }

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

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::protocol::json::Value;

    fn attestation() -> SourceAttestation {
        SourceAttestation {
            installation_id: "ins_1".into(),
            stream_id: "str_1".into(),
            source_ref: file_source_ref("docs/a.md", &Digest::of(b"a")),
            payload_hash: Digest::of(b"a"),
            payload_hash_of: PayloadHashOf::Bytes,
            attested_at: Timestamp::from_millis(1_800_000_000_000),
            alg: Algorithm::Ed25519,
            kid: "src_1".into(),
            producer_uid: None,
            claimed: false,
        }
    }

    fn sealed(attestation: &SourceAttestation) -> (Object, PublicKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signature = Signature::from_bytes(key.sign(attestation.preimage().as_bytes()).to_bytes());
        (attestation.sealed(&signature), PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap())
    }

    #[test]
    fn an_attestation_verifies_with_and_without_its_optional_members() {
        let claimed = SourceAttestation { producer_uid: Some(1000), claimed: true, ..attestation() };
        for attestation in [attestation(), claimed] {
            let (object, key) = sealed(&attestation);
            assert_eq!(SourceAttestation::verify(&object, &key), Ok(attestation));
        }
    }

    #[test]
    fn a_p256_key_attests_too() {
        use p256::ecdsa::signature::Signer as _;

        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let attestation = SourceAttestation { alg: Algorithm::Es256, ..attestation() };
        let signature: p256::ecdsa::Signature = key.sign(attestation.preimage().as_bytes());
        let object = attestation.sealed(&Signature::from_bytes(signature.normalize_s().to_bytes().into()));
        let public = PublicKey::Es256(Box::new(*key.verifying_key()));
        assert_eq!(SourceAttestation::verify(&object, &public), Ok(attestation));
    }

    #[test]
    fn the_algorithm_is_the_keys_and_not_the_objects() {
        let (object, key) = sealed(&SourceAttestation { alg: Algorithm::Es256, ..attestation() });
        assert_eq!(SourceAttestation::verify(&object, &key), Err(SourceError::Algorithm));
    }

    #[test]
    fn every_signed_member_is_bound() {
        let (object, key) = sealed(&attestation());
        let changes: [(&str, Value); 5] = [
            ("installation_id", "ins_2".into()),
            ("payload_hash", Digest::of(b"b").to_string().into()),
            ("payload_hash_of", "canonical-json".into()),
            ("claimed", true.into()),
            ("producer_uid", 0_i64.into()),
        ];
        for (member, value) in changes {
            let changed = object.clone().with(member, value);
            assert_eq!(SourceAttestation::verify(&changed, &key), Err(InvalidSignature.into()), "{member}");
        }
        let kid = object.get_object("local_signature").unwrap().clone().with("kid", "src_2");
        let changed = object.with("local_signature", kid);
        assert_eq!(SourceAttestation::verify(&changed, &key), Err(InvalidSignature.into()));
    }

    #[test]
    fn whatever_differs_from_the_wire_form_is_refused_by_name() {
        let (object, _) = sealed(&attestation());
        let changes: [(&str, Value); 5] = [
            ("attested_at", "2027-01-15T09:00:00.000+01:00".into()),
            ("claimed", false.into()),
            ("event_type", "other".into()),
            ("payload_hash_of", "text".into()),
            ("surprise", Value::Null),
        ];
        for (member, value) in changes {
            let error = SourceAttestation::from_object(&object.clone().with(member, value)).unwrap_err();
            assert_eq!(error.member(), member);
        }
    }

    #[test]
    fn an_edited_file_is_another_source() {
        assert_eq!(file_source_ref("a.md", &Digest::of(b"a")), "a.md@ca978112ca1bbdca");
        assert_ne!(file_source_ref("a.md", &Digest::of(b"a")), file_source_ref("a.md", &Digest::of(b"b")));
    }
}
