use std::fmt;

use ed25519_dalek::Signer as _;
use zeroize::{Zeroize, Zeroizing};

use super::broken;
use crate::custody::{CustodyError, Protection, SigningKey};
use crate::protocol::{Preimage, PublicKey, Signature};

/// A private key in our memory: on the ordinary heap, not on locked pages. Wiped on drop.
pub struct FileKey {
    private: Private,
    public: PublicKey,
}

enum Private {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Es256(Box<p256::ecdsa::SigningKey>),
}

impl FileKey {
    /// An Ed25519 key from its seed (RFC 8032); the caller's copy is wiped.
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = Box::new(ed25519_dalek::SigningKey::from_bytes(&seed));
        seed.zeroize();
        let public = PublicKey::Ed25519(Box::new(key.verifying_key()));
        Self { private: Private::Ed25519(key), public }
    }

    pub(super) fn from_p256(key: p256::SecretKey) -> Self {
        let key = Box::new(p256::ecdsa::SigningKey::from(key));
        let public = PublicKey::Es256(Box::new(*key.verifying_key()));
        Self { private: Private::Es256(key), public }
    }
}

#[cfg(feature = "tpm")]
impl FileKey {
    /// The P-256 key itself, for the one that signs policies of a TPM, which is no key of ours.
    pub(in crate::custody) fn into_p256(self) -> Option<Box<p256::ecdsa::SigningKey>> {
        match self.private {
            Private::Ed25519(_) => None,
            Private::Es256(key) => Some(key),
        }
    }
}

impl SigningKey for FileKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn protection(&self) -> Protection {
        Protection::Software
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        match &self.private {
            Private::Ed25519(key) => Ok(Signature::from_bytes(key.sign(preimage.as_bytes()).to_bytes())),
            Private::Es256(key) => {
                let signature: Result<p256::ecdsa::Signature, _> = key.try_sign(preimage.as_bytes());
                let signature = signature
                    .map_err(|_| broken("sign", "the P-256 key made no signature".into(), "Replace the key."))?;
                Ok(Signature::from_bytes(signature.normalize_s().to_bytes().into()))
            }
        }
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileKey({:?})", self.public)
    }
}

/// A new Ed25519 seed as 64 hex digits, the published form of a key file.
/// Panics only where the kernel gives no randomness.
pub fn generate_seed_hex() -> Zeroizing<String> {
    let mut seed = Zeroizing::new([0u8; 32]);
    // The kernel fails this only before its pool is ready, and then it blocks instead.
    getrandom::fill(seed.as_mut()).expect("the kernel's randomness");
    Zeroizing::new(hex::encode(seed.as_slice()))
}
