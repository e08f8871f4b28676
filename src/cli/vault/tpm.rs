use std::sync::Arc;

use super::Vault;
use super::keys::Kept;
use crate::cli::failure::Failure;
use crate::config::KeyPlace;
use crate::custody::SharedSigningKey;
use crate::custody::tpm::{ReleasedKey, ResidentKey, Tpm, TpmConfig, TpmWrappingKey};
use crate::protocol::PublicKey;

impl Vault {
    /// The TPM that is configured, the same one for every key of this process. Touches nothing of it.
    pub(in crate::cli) fn tpm(&self) -> Result<Arc<Tpm>, Failure> {
        if let Some(tpm) = self.tpm.get() {
            return Ok(tpm.clone());
        }
        let settings = self.settings.custody.tpm.as_ref().ok_or_else(|| {
            Failure::config("no TPM is configured", "Set custody.backend to \"tpm\" in the config file.")
        })?;
        let security_digest = self.settings.security_digest();
        let security_digest = security_digest.map_err(|e| Failure::io("cannot read what the config file names", &e))?;
        let tpm = Tpm::new(TpmConfig { security_digest, ..settings.device.clone() });
        Ok(self.tpm.get_or_init(|| tpm).clone())
    }

    /// A signing key in the TPM. Which of the two it is, its algorithm tells: a TPM does not sign Ed25519.
    pub(super) fn tpm_key(&self, label: &str, public_key: &PublicKey) -> Result<(SharedSigningKey, Kept), Failure> {
        let (tpm, public) = (self.tpm()?, public_key.clone());
        Ok(match public_key {
            PublicKey::Ed25519(_) => (Arc::new(ReleasedKey::new(tpm, label, public)), Kept::Sealed),
            PublicKey::Es256(_) => (Arc::new(ResidentKey::new(tpm, label, public)), Kept::Tpm),
        })
    }

    /// The keys that live in the TPM: purpose, label and public half of each.
    pub(super) fn resident_keys(&self) -> Vec<(String, String, PublicKey)> {
        let custody = &self.settings.custody;
        let keys = [
            ("relay", &custody.relay),
            ("source", &custody.source),
            ("witness", &custody.witness),
            ("witness", &custody.witness_next),
            ("record", &custody.record),
        ];
        let resident = keys.into_iter().filter_map(|(purpose, key)| match &key.as_ref()?.place {
            KeyPlace::Tpm { label, public_key: public @ PublicKey::Es256(_) } => {
                Some((purpose.to_owned(), label.clone(), public.clone()))
            }
            _ => None,
        });
        resident.collect()
    }

    /// What wraps data keys, released by the TPM.
    pub(super) fn tpm_wrapping_key(&self) -> Result<TpmWrappingKey, Failure> {
        let tpm = self.tpm()?;
        let wrapping = self.settings.custody.tpm.as_ref().and_then(|settings| settings.wrapping.as_ref());
        let wrapping = wrapping.ok_or_else(|| {
            Failure::config(
                "no wrapping key is configured",
                "Make one with `local-vault custody generate wrapping`, and name it under [custody.tpm.wrapping].",
            )
        })?;
        Ok(TpmWrappingKey::open(tpm, &wrapping.label, &wrapping.key_id)?)
    }
}
