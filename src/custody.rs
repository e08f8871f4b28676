//! Keys that sign and wrap, and never leave.
//!
//! A service is handed a [`Signer`], a [`WrappingKey`] or a [`DataKey`] and cannot tell which device stands behind
//! it. A backend's own types stay in its folder.

mod anchor;
mod attestation;
pub mod conformance;
mod data_key;
mod error;
mod metrics;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
mod pin;
mod purpose;
mod recorder;
mod scratch;
mod signer;
mod wrapping;

pub mod file;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(feature = "tpm")]
pub mod tpm;

pub use anchor::{Anchor, AnchorKind, Floor, FloorPlace};
pub use attestation::{Quoter, attest, quote};
pub use data_key::{DataKey, ReleasedDataKey, Residence, Sealed};
pub use error::{CustodyError, ErrorKind};
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
pub use pin::PinSource;
pub use purpose::{Purpose, PurposeKey, SharedKey, one_key_one_purpose};
pub use recorder::{KeyUse, RecordedWrappingKey, Recorder, Recording};
pub use scratch::ScratchKey;
pub use signer::{SignError, Signer, SignerConfig};
pub use wrapping::{EpochKeys, WrappedKey, WrappingKey};

use std::fmt;
use std::sync::Arc;

use crate::protocol::{Algorithm, Preimage, PublicKey, Signature};

/// Where a private key is while it is used. Ordered: a later one protects more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// In a file, and in our memory.
    Software,
    /// Sealed or wrapped by a device, and in our memory while used.
    DeviceReleased,
    /// In the device alone.
    DeviceResident,
}

impl Protection {
    /// The name as configuration and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::DeviceReleased => "device-released",
            Self::DeviceResident => "device-resident",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Software, Self::DeviceReleased, Self::DeviceResident].into_iter().find(|p| p.name() == name)
    }
}

/// A private key that signs. Blocking: a device may take a second; services call through a [`Signer`].
pub trait SigningKey: Send + Sync + fmt::Debug {
    /// The public half, which was checked against the private one when the key was loaded.
    fn public_key(&self) -> &PublicKey;

    /// Where the private half is.
    fn protection(&self) -> Protection;

    /// Signs the bytes of `preimage`. **The caller hashes nothing**: an Ed25519 key signs the bytes themselves, an
    /// ES256 key hashes them with SHA-256 first. The signature is R||S, or r||s of fixed size with a low s.
    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError>;

    /// Whether the key is there and fit, as far as that was not looked at when it was loaded. Blocking.
    fn check(&self) -> Result<(), CustodyError> {
        Ok(())
    }

    /// Which algorithm the key is for.
    fn algorithm(&self) -> Algorithm {
        self.public_key().algorithm()
    }
}

/// A signing key that services share.
pub type SharedSigningKey = Arc<dyn SigningKey>;
