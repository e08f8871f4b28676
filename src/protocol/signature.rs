use std::fmt;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;

use super::Preimage;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// PureEdDSA over Curve25519 (RFC 8032); signatures are R||S.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5); signatures are r||s of fixed size with a low s.
    Es256,
}

impl Algorithm {
    /// The name as source attestations carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ed25519, Self::Es256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A public key that was checked to be one.
///
/// As hex: an Ed25519 key is its 32 bytes, a P-256 key its 65 bytes of uncompressed SEC1.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An Ed25519 key.
    Ed25519(Box<VerifyingKey>),
    /// A P-256 key.
    Es256(Box<p256::ecdsa::VerifyingKey>),
}

impl PublicKey {
    /// An Ed25519 key from its 32 bytes. Keys of small order are refused: anything verifies under them.
    pub fn ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError)?;
        if key.is_weak() { Err(KeyError) } else { Ok(Self::Ed25519(Box::new(key))) }
    }

    /// A P-256 key from SEC1 bytes, compressed or not.
    pub fn es256(sec1: &[u8]) -> Result<Self, KeyError> {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map_err(|_| KeyError)?;
        Ok(Self::Es256(Box::new(key)))
    }

    /// Reads the hex form; the length tells the algorithm.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode(text).map_err(|_| KeyError)?;
        match <&[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(raw) => Self::ed25519(raw),
            Err(_) => Self::es256(&bytes),
        }
    }

    /// The bytes of the hex form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.as_bytes().to_vec(),
            Self::Es256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// The hex form, lower case.
    pub fn to_hex(&self) -> String {
        hex::encode(self.to_bytes())
    }

    /// Which algorithm the key is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    /// Verifies strictly: no key of small order, no second encoding of the same signature, low s only, and
    /// Ed25519 alone where a contract fixes it for the domain.
    pub fn verify(&self, preimage: &Preimage, signature: &Signature) -> Result<(), InvalidSignature> {
        if preimage.domain().is_ed25519_only() && self.algorithm() != Algorithm::Ed25519 {
            return Err(InvalidSignature);
        }
        self.verify_bytes(preimage.as_bytes(), signature)
    }

    fn verify_bytes(&self, message: &[u8], signature: &Signature) -> Result<(), InvalidSignature> {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
                key.verify_strict(message, &signature).map_err(|_| InvalidSignature)
            }
            Self::Es256(key) => {
                let signature =
                    p256::ecdsa::Signature::from_slice(signature.as_bytes()).map_err(|_| InvalidSignature)?;
                if signature.normalize_s() != signature {
                    return Err(InvalidSignature);
                }
                key.verify(message, &signature).map_err(|_| InvalidSignature)
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm().name(), self.to_hex())
    }
}

/// The 64 bytes of a signature, R||S or r||s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its 64 bytes, which may still verify nothing.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Reads 128 hex digits of either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidSignature> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidSignature)?;
        Ok(Self(bytes))
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// 128 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Bytes that are no public key of a known algorithm, or one under which anything verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key (64 hex digits for Ed25519, 130 for P-256)")]
pub struct KeyError;

/// The signature does not verify under this key for these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct InvalidSignature;
