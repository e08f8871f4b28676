//! Covers signing seeds for the day on which the board dies: HPKE (RFC 9180, base mode, X25519, HKDF-SHA256,
//! AES-256-GCM) to a key that lies elsewhere.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use super::{durable, error};
use crate::custody::file::read_secret_file;
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::LockedKey;
use crate::protocol::PublicKey;
use crate::protocol::json::{self, Object};

/// The private half of the recovery key, as it lies in its file: 64 hex digits.
pub struct RecoveryKey(HpkePrivateKey);

const INFO: &[u8] = b"local-vault.recovery.v1";
const EXTENSION: &str = "recovery.json";

impl RecoveryKey {
    /// Makes a key and its file, which must not be there yet. Gives the public half.
    pub fn create(path: &Path) -> Result<[u8; 32], CustodyError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| no_luck())?;
        let text = Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex::encode(private.secret_bytes()))));
        let public = public.0.try_into().map_err(|_| no_luck())?;
        durable::create(path, text.as_bytes())?;
        Ok(public)
    }

    /// Reads the file. Blocks.
    pub fn load(path: &Path) -> Result<Self, CustodyError> {
        let text = read_secret_file(path)?;
        let bytes = text.expose_str().and_then(|text| hex::decode(text.trim()).ok()).filter(|bytes| bytes.len() == 32);
        bytes.map(|bytes| Self(bytes.into())).ok_or_else(|| {
            let message = format!("{} is no recovery key", path.display());
            error(ErrorKind::Misconfigured, "recover", message, "It holds 64 hex digits.")
        })
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(…)")
    }
}

/// A signing seed that only the recovery key opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) public_key: PublicKey,
    encapsulated: Vec<u8>,
    sealed: Vec<u8>,
}

impl Covered {
    pub(super) fn path(folder: &Path, label: &str) -> PathBuf {
        folder.join(format!("{label}.{EXTENSION}"))
    }

    /// Covers the seed of this public half.
    pub(super) fn cover(seed: &[u8; 32], public_key: &PublicKey, recovery: &[u8; 32]) -> Result<Self, CustodyError> {
        let to = HpkePublicKey(recovery.to_vec());
        let (encapsulated, sealed) =
            SUITE.seal(INFO, &public_key.to_bytes(), seed, &to).map_err(|_| unfit_recovery_key())?;
        Ok(Self { public_key: public_key.clone(), encapsulated: encapsulated.0, sealed })
    }

    /// Opens it, where the seed is that of the public half.
    pub(super) fn open(&self, key: &RecoveryKey) -> Result<LockedKey, CustodyError> {
        let encapsulated = EncapsulatedSecret(self.encapsulated.clone());
        let opened = SUITE.open(&encapsulated, INFO, &self.public_key.to_bytes(), &self.sealed, &key.0);
        let opened = opened.map(Zeroizing::new).map_err(|_| does_not_open())?;
        let mut seed: Zeroizing<[u8; 32]> = Zeroizing::new(opened.as_slice().try_into().map_err(|_| does_not_open())?);
        let seed = LockedKey::new(&mut seed);
        if super::released::public_half(&seed) != self.public_key {
            return Err(does_not_open());
        }
        Ok(seed)
    }

    pub(super) fn read(folder: &Path, label: &str) -> Result<Self, CustodyError> {
        let path = Self::path(folder, label);
        let object = json::parse(&durable::read(&path)?).ok();
        object.and_then(|object| Self::from_object(&object)).ok_or_else(|| {
            let message = format!("{} does not read", path.display());
            error(ErrorKind::Broken, "recover", message, "Restore it from where copies are kept.")
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.to_object().to_canonical()
    }

    fn to_object(&self) -> Object {
        Object::new()
            .with("version", 1u32)
            .with("public_key", self.public_key.to_hex())
            .with("encapsulated", STANDARD.encode(&self.encapsulated))
            .with("sealed", STANDARD.encode(&self.sealed))
    }

    fn from_object(object: &Object) -> Option<Self> {
        let covered = Self {
            public_key: PublicKey::from_hex(object.get_str("public_key")?).ok()?,
            encapsulated: STANDARD.decode(object.get_str("encapsulated")?).ok()?,
            sealed: STANDARD.decode(object.get_str("sealed")?).ok()?,
        };
        (covered.to_object() == *object).then_some(covered)
    }
}

fn unfit_recovery_key() -> CustodyError {
    let advice = "It is what `local-vault custody tpm provision` printed as recovery_key.";
    error(ErrorKind::Misconfigured, "recover", "custody.tpm.recovery_key is no public key", advice)
}

fn does_not_open() -> CustodyError {
    let advice = "Is it the recovery key that was made with this box? Nothing was changed.";
    error(ErrorKind::Refused, "recover", "the covered seed does not open with this key", advice)
}

fn no_luck() -> CustodyError {
    error(ErrorKind::Broken, "random", "no key was made", "Start again later.")
}
