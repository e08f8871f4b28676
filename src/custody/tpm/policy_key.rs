use std::fmt;
use std::path::Path;

use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePrivateKey as _;
use pkcs8::LineEnding;

use super::{durable, error, random};
use crate::custody::file::{KeySource, load_signing_key};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::PublicKey;

/// The operator's key that signs policies: P-256, in a PKCS#8 file that is kept away from the box. It signs TPM policy
/// digests and nothing else.
pub struct PolicyKey {
    key: SigningKey,
    public: PublicKey,
}

impl PolicyKey {
    /// Makes a key and its file, which must not be there yet.
    pub fn create(path: &Path) -> Result<Self, CustodyError> {
        let secret = loop {
            // One scalar in 2^32 is none.
            if let Ok(secret) = p256::SecretKey::from_slice(random::<32>()?.as_slice()) {
                break secret;
            }
        };
        let pem = secret.to_pkcs8_der().and_then(|der| Ok(der.to_pem("PRIVATE KEY", LineEnding::LF)?));
        let pem = pem.map_err(|_| error(ErrorKind::Broken, "write", "a new key does not encode", "Report this."))?;
        durable::create(path, pem.as_bytes())?;
        Ok(Self::of(SigningKey::from(secret)))
    }

    /// Reads a key file, encrypted or not. Blocks.
    pub fn load(path: &Path, passphrase: Option<&Path>) -> Result<Self, CustodyError> {
        let file = |path: &Path| KeySource::File(path.to_owned());
        let (key, _) = load_signing_key(&file(path), passphrase.map(file).as_ref())?;
        let key = key.into_p256().ok_or_else(|| {
            let message = format!("{} is no P-256 key", path.display());
            error(ErrorKind::Misconfigured, "policy", message, "A TPM verifies policies with P-256.")
        })?;
        Ok(Self::of(*key))
    }

    fn of(key: SigningKey) -> Self {
        let public = PublicKey::Es256(Box::new(*key.verifying_key()));
        Self { key, public }
    }

    /// The public half, for `custody.tpm.policy_key`.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    pub(super) const fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Refuses a key that is not the one which is configured.
    pub(super) fn refuse_other(&self, configured: &Option<PublicKey>) -> Result<(), CustodyError> {
        let configured = super::policy_folder::policy_key(configured)?;
        if configured == self.public {
            return Ok(());
        }
        let message = format!("this policy key has the public half {}", self.public.to_hex());
        let advice = format!("Configured as custody.tpm.policy_key is {}. Nothing was signed.", configured.to_hex());
        Err(error(ErrorKind::Misconfigured, "policy", message, advice))
    }
}

impl fmt::Debug for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyKey({:?})", self.public)
    }
}
