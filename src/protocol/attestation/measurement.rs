use super::POLICY;
use crate::facts::{Digest, Timestamp};
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};

/// What is running, and with which key (policy `attesto-measurement-policy-v1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// The version of the software.
    pub local_vault_version: String,
    /// The hash of what runs.
    pub edge_core_sha256: Digest,
    /// The hash of what it was told to do.
    pub provider_manifest_digest: Digest,
    /// The name under which verifiers know the relay key.
    pub signing_key_id: String,
    /// The relay key.
    pub signing_public_key: PublicKey,
    /// When; on the wire to the second.
    pub issued_at: Timestamp,
    /// Makes every measurement another one.
    pub nonce: [u8; 16],
}

impl Measurement {
    /// The wire form.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("policy_id", POLICY)
            .with("local_vault_version", self.local_vault_version.as_str())
            .with("edge_core_sha256", self.edge_core_sha256.to_string())
            .with("provider_manifest_digest", self.provider_manifest_digest.to_string())
            .with("signing_key_id", self.signing_key_id.as_str())
            .with("signing_public_key_hex", self.signing_public_key.to_hex())
            .with("issued_at", to_the_second(self.issued_at))
            .with("nonce", hex::encode(self.nonce))
    }

    /// What a TPM signs with its PCRs: the hash of the canonical form.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_object().to_canonical())
    }

    /// Reads the wire form strictly.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let measurement = Self {
            local_vault_version: member::text(object, "local_vault_version")?,
            edge_core_sha256: member::digest(object, "edge_core_sha256")?,
            provider_manifest_digest: member::digest(object, "provider_manifest_digest")?,
            signing_key_id: member::text(object, "signing_key_id")?,
            signing_public_key: member::named(object, "signing_public_key_hex", |hex| PublicKey::from_hex(hex).ok())?,
            issued_at: member::time(object, "issued_at")?,
            nonce: member::named(object, "nonce", |hex| hex::decode(hex).ok()?.try_into().ok())?,
        };
        member::same(&measurement.to_object(), object)?;
        Ok(measurement)
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
fn to_the_second(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
