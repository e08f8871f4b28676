use std::fmt;
use std::sync::{Arc, OnceLock};

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::Sha512;

use super::error;
use super::worker::Tpm;
use crate::custody::{CustodyError, ErrorKind, Protection, SigningKey};
use crate::facts::LockedKey;
use crate::protocol::{Preimage, PublicKey, Signature};

/// An Ed25519 key whose seed the TPM releases under a policy. It then lies in locked memory, until the process ends.
pub struct ReleasedKey {
    tpm: Arc<Tpm>,
    label: String,
    public: PublicKey,
    seed: OnceLock<Arc<LockedKey>>,
}

impl ReleasedKey {
    /// The sealed key of this label, whose public half must be this one. Touches neither file nor TPM: the seed is
    /// released when the key first signs.
    pub fn new(tpm: Arc<Tpm>, label: &str, public: PublicKey) -> Self {
        Self { tpm, label: label.to_owned(), public, seed: OnceLock::new() }
    }

    fn seed(&self) -> Result<&LockedKey, CustodyError> {
        if let Some(seed) = self.seed.get() {
            return Ok(seed);
        }
        let seed = self.tpm.secret(&self.label)?;
        if public_half(&seed) != self.public {
            let message = format!("the sealed key {:?} is not the one that is expected", self.label);
            let advice = format!("Expected is the public key {}. Nothing was signed.", self.public.to_hex());
            return Err(error(ErrorKind::Misconfigured, "TPM2_Unseal", message, advice));
        }
        Ok(self.seed.get_or_init(|| seed))
    }
}

/// The public half of a seed.
pub(super) fn public_half(seed: &LockedKey) -> PublicKey {
    let key = ed25519_dalek::SigningKey::from_bytes(seed.expose());
    PublicKey::Ed25519(Box::new(key.verifying_key()))
}

impl SigningKey for ReleasedKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn protection(&self) -> Protection {
        Protection::DeviceReleased
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        let seed = self.seed()?;
        let PublicKey::Ed25519(public) = &self.public else {
            return Err(error(
                ErrorKind::Unsupported,
                "sign",
                "a sealed key is Ed25519",
                "This is a defect; report it.",
            ));
        };
        // Made for each signature and wiped after it, so that nothing of the key lies outside locked memory.
        let expanded = ExpandedSecretKey::from(seed.expose());
        Ok(Signature::from_bytes(raw_sign::<Sha512>(&expanded, preimage.as_bytes(), public).to_bytes()))
    }

    fn check(&self) -> Result<(), CustodyError> {
        self.seed().map(drop)
    }
}

impl fmt::Debug for ReleasedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleasedKey({:?})", self.public)
    }
}
