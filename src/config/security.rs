use std::io;

use super::settings::{CustodySettings, KeyPlace, KeySetting, Settings};
#[cfg(feature = "tpm")]
use super::tpm::TpmSettings;
use crate::facts::Digest;
#[cfg(feature = "tpm")]
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};

impl Settings {
    /// SHA-256 over the canonical JSON of everything here that security rests on: whom we trust, which keys we use, and
    /// what we ask of them. Where nothing of it changed, the digest is the same on every machine. Blocks on the files
    /// that are named, whose content counts and not their place.
    pub fn security_digest(&self) -> io::Result<Digest> {
        let relay = &self.relay;
        let ca = relay.ca_file.as_ref().map(std::fs::read).transpose()?;
        let mut pins: Vec<String> = relay.spki_pins.iter().map(Digest::to_string).collect();
        pins.sort();
        let quote = self.attestation.quote.as_ref();
        let object = Object::new()
            .with("format", "local-vault.security.v1")
            .with("endpoint", relay.endpoint.as_deref().map(str::to_owned))
            .with("spki_pins", pins)
            .with("ca_sha256", ca.map(|ca| Digest::of(&ca).to_string()))
            .with("custody", self.custody.security()?)
            .with("attestation_minimum", self.attestation.minimum.name())
            .with("attestation_pcrs", quote.map(|quote| quote.pcrs.to_string()));
        Ok(Digest::of(&object.to_canonical()))
    }
}

impl CustodySettings {
    /// The name of what holds the keys.
    pub const fn backend(&self) -> &'static str {
        #[cfg(feature = "pkcs11")]
        if self.token.is_some() {
            return "pkcs11";
        }
        #[cfg(feature = "tpm")]
        if self.tpm.is_some() {
            return "tpm";
        }
        "file"
    }

    fn security(&self) -> io::Result<Object> {
        let keys = [
            ("relay", &self.relay),
            ("source", &self.source),
            ("witness", &self.witness),
            ("witness-next", &self.witness_next),
            ("record", &self.record),
        ];
        let keys = keys.into_iter().filter_map(|(purpose, key)| Some(key_object(purpose, key.as_ref()?)));
        Ok(Object::new()
            .with("backend", self.backend())
            .with("minimum_protection", self.minimum.name())
            .with("keys", keys.collect::<Vec<Value>>())
            .with("profile_sha256", self.profile()?.map(|digest| digest.to_string()))
            .with("tpm", self.tpm_object()))
    }

    #[cfg(feature = "tpm")]
    fn tpm_object(&self) -> Option<Object> {
        let TpmSettings { device: tpm, wrapping } = self.tpm.as_ref()?;
        Some(
            Object::new()
                .with("parent_name", tpm.parent_name.clone())
                .with("policy_key", tpm.policy_key.as_ref().map(PublicKey::to_hex))
                .with("recovery_key", tpm.recovery_key.map(hex::encode))
                .with("pcrs", tpm.pcrs.to_string())
                .with("application_pcr", tpm.application_pcr.map(u32::from))
                .with("wrapping", wrapping.as_ref().map(|wrapping| wrapping.key_id.clone()))
                .with("asks_for_a_pin", tpm.pin.is_some()),
        )
    }

    #[cfg(not(feature = "tpm"))]
    #[allow(clippy::unused_self)] // as with a TPM
    const fn tpm_object(&self) -> Option<Object> {
        None
    }

    #[cfg(feature = "pkcs11")]
    fn profile(&self) -> io::Result<Option<Digest>> {
        let profile = self.token.as_ref().and_then(|token| token.profile.as_ref());
        Ok(profile.map(std::fs::read).transpose()?.map(|profile| Digest::of(&profile)))
    }

    #[cfg(not(feature = "pkcs11"))]
    #[allow(clippy::unnecessary_wraps)] // as with a token
    const fn profile(&self) -> io::Result<Option<Digest>> {
        Ok(None)
    }
}

/// The public half is there where it is pinned: a key file is not opened for this.
fn key_object(purpose: &str, key: &KeySetting) -> Value {
    let public_key: Option<String> = match &key.place {
        KeyPlace::File { .. } => None,
        #[cfg(feature = "pkcs11")]
        KeyPlace::Token { public_key, .. } => public_key.as_ref().map(|key| key.to_hex()),
        #[cfg(feature = "tpm")]
        KeyPlace::Tpm { public_key, .. } => Some(public_key.to_hex()),
    };
    Object::new().with("purpose", purpose).with("kid", key.kid.as_str()).with("public_key_hex", public_key).into()
}
