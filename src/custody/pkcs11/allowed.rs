use cryptoki::mechanism::MechanismType;
use serde::Deserialize;

use crate::custody::Residence;
use crate::protocol::Algorithm;

/// How a wrapping key wraps. Fixed by what the key may be used for, and never by the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// AES-256-GCM (SP 800-38D) in the token, with the context as AAD. The data key is *released* to us.
    AesGcm,
    /// AES-KW (RFC 3394, SP 800-38F) into a session object of the token. The data key is *resident*.
    AesKw,
}

impl Scheme {
    /// The name in epoch records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "pkcs11-aes-gcm",
            Self::AesKw => "pkcs11-aes-kw",
        }
    }

    /// Where the data keys are that it unwraps.
    pub const fn residence(self) -> Residence {
        match self {
            Self::AesGcm => Residence::Released,
            Self::AesKw => Residence::Resident,
        }
    }
}

/// What a key is for: one use, one set of mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    Sign(Algorithm),
    Wrap(Scheme),
}

impl KeyUse {
    /// The only mechanism that the key is used with.
    pub(super) const fn mechanism(self) -> MechanismType {
        match self {
            Self::Sign(Algorithm::Ed25519) => MechanismType::EDDSA,
            Self::Sign(Algorithm::Es256) => MechanismType::ECDSA,
            Self::Wrap(Scheme::AesGcm) => MechanismType::AES_GCM,
            Self::Wrap(Scheme::AesKw) => MechanismType::AES_KEY_WRAP,
        }
    }
}
