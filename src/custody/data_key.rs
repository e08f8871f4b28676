use std::fmt;

use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{Aead, KeyInit, Payload};
use zeroize::Zeroizing;

use super::{CustodyError, ErrorKind};
use crate::facts::LockedKey;

/// A key that seals records, on whichever side of the device boundary its bytes are.
pub trait DataKey: Send + Sync + fmt::Debug {
    /// Seals `plaintext` and binds it to `aad`. The nonce comes from the key and is in the answer.
    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, CustodyError>;

    /// Opens what was sealed under the same `aad`, or fails without telling why.
    fn open(&self, aad: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, CustodyError>;

    /// Where the key's bytes are.
    fn residence(&self) -> Residence;
}

/// Where a data key's bytes are while it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// In our memory, locked and wiped.
    Released,
    /// In the device alone, which seals and opens.
    Resident,
}

impl Residence {
    /// The name as configuration and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Resident => "resident",
        }
    }
}

/// A sealed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What the key chose; its length is the scheme's.
    pub nonce: Vec<u8>,
    /// The ciphertext with its tag behind it.
    pub ciphertext: Vec<u8>,
}

/// A data key in locked memory: XAES-256-GCM (C2SP), which derives a key per record from a random nonce of 192 bits,
/// so that a restored or cloned disk never repeats one.
#[derive(Debug)]
pub struct ReleasedDataKey(LockedKey);

const NONCE: usize = 24;

impl ReleasedDataKey {
    /// Takes the key over and wipes the caller's copy.
    pub fn new(key: &mut [u8; 32]) -> Self {
        Self(LockedKey::new(key))
    }

    /// Made for each record, so that the expanded key does not outlive it outside locked memory.
    fn cipher(&self) -> Xaes256Gcm {
        Xaes256Gcm::new(self.0.expose().into())
    }
}

impl DataKey for ReleasedDataKey {
    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, CustodyError> {
        let mut nonce = [0; NONCE];
        let no_luck = || failure("seal", "the kernel gave no randomness", "Start again once the system is up.");
        getrandom::fill(&mut nonce).map_err(|_| no_luck())?;
        let too_long = || failure("seal", "the record is too long to seal", "Nothing longer than 64 GiB is sealed.");
        let ciphertext = self.cipher().encrypt(&nonce.into(), Payload { msg: plaintext, aad });
        let ciphertext = ciphertext.map_err(|_| too_long())?;
        Ok(Sealed { nonce: nonce.to_vec(), ciphertext })
    }

    fn open(&self, aad: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        let broken = || failure("open", "a sealed record does not open", CHANGED);
        let nonce: &[u8; NONCE] = sealed.nonce.as_slice().try_into().map_err(|_| broken())?;
        let opened = self.cipher().decrypt(nonce.into(), Payload { msg: &sealed.ciphertext, aad });
        opened.map(Zeroizing::new).map_err(|_| broken())
    }

    fn residence(&self) -> Residence {
        Residence::Released
    }
}

const CHANGED: &str = "The record was changed, moved or damaged since it was written; nothing of it is used.";

fn failure(operation: &'static str, message: &str, advice: &str) -> CustodyError {
    CustodyError::new(ErrorKind::Broken, "released", operation, message, advice)
}
