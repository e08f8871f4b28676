use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};
use crate::protocol::tpm::{Certification, KeyBits, TpmError};

/// What else the TPM gave, ours: kept in the file, never posted, and not covered by the relay key's signature. Each part
/// is signed by whom it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The TPM maker's certificate of its endorsement key (X.509 DER), where there is one. It is not checked here.
    pub ek_certificate: Option<Vec<u8>>,
    /// Keys of ours that live in that TPM.
    pub certified_keys: Vec<CertifiedKey>,
}

/// A key of ours, and what the attestation key says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedKey {
    /// What the key is for, as `custody report` names it.
    pub purpose: String,
    /// The key itself.
    pub public_key: PublicKey,
    /// That it lives in the TPM.
    pub certification: Certification,
}

impl Evidence {
    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.ek_certificate.is_none() && self.certified_keys.is_empty()
    }

    /// The form in the file.
    pub fn to_object(&self) -> Object {
        let keys: Vec<Value> = self.certified_keys.iter().map(|key| key.to_object().into()).collect();
        Object::new()
            .with("ek_certificate_b64", self.ek_certificate.as_deref().map(member::to_base64))
            .with("certified_keys", keys)
    }

    /// Reads the form in the file strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let ek_certificate = match object.get("ek_certificate_b64") {
            Some(Value::Null) => None,
            _ => Some(member::base64(object, "ek_certificate_b64")?),
        };
        let keys = object.get("certified_keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| MemberError::new("certified_keys"))?;
        let read = |key: &Value| {
            key.as_object().ok_or_else(|| MemberError::new("certified_keys")).and_then(CertifiedKey::from_object)
        };
        let evidence = Self { ek_certificate, certified_keys: keys.iter().map(read).collect::<Result<_, _>>()? };
        member::same(&evidence.to_object(), object)?;
        Ok(evidence)
    }
}

impl CertifiedKey {
    /// Verifies that this very key lives in the TPM of the attestation key.
    pub fn verify(&self, ak_public: &[u8], qualifying: &[u8]) -> Result<(), TpmError> {
        match self.certification.verify(ak_public, qualifying)?.key {
            KeyBits::P256(point) if self.public_key.to_bytes() == *point => Ok(()),
            _ => Err(TpmError::KeyName),
        }
    }

    fn to_object(&self) -> Object {
        Object::new()
            .with("purpose", self.purpose.as_str())
            .with("public_key_hex", self.public_key.to_hex())
            .with("public_b64", member::to_base64(&self.certification.public))
            .with("certify_b64", member::to_base64(&self.certification.message))
            .with("signature_b64", member::to_base64(&self.certification.signature))
    }

    fn from_object(object: &Object) -> Result<Self, MemberError> {
        Ok(Self {
            purpose: member::text(object, "purpose")?,
            public_key: member::named(object, "public_key_hex", |hex| PublicKey::from_hex(hex).ok())?,
            certification: Certification {
                public: member::base64(object, "public_b64")?,
                message: member::base64(object, "certify_b64")?,
                signature: member::base64(object, "signature_b64")?,
            },
        })
    }
}
