use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use tss_esapi::structures::Auth;
use zeroize::Zeroizing;

use super::error;
use super::secrets::Secrets;
use crate::custody::{CustodyError, ErrorKind, PinSource};

/// What a process remembers from one connection to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pin: Mutex<Option<Zeroizing<[u8; 32]>>>,
    released: Mutex<Option<Secrets>>,
}

const LABEL: &[u8] = b"local-vault.tpm.pin.v1";

impl Memory {
    /// The secret that stands for the PIN: a TPM takes 32 bytes at most, so that it is hashed. Read once.
    pub(super) fn pin(&self, source: &PinSource, tpm: &str) -> Result<Auth, super::fault::Fault> {
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if pin.is_none() {
            let read = source.read(&format!("the TPM at {tpm}"))?;
            *pin = Some(Zeroizing::new(Sha256::new_with_prefix(LABEL).chain_update(read.expose()).finalize().into()));
        }
        let bytes = pin.as_ref().map_or(&[][..], |pin| pin.as_slice());
        Ok(Auth::try_from(bytes).map_err(|_| too_long())?)
    }

    /// What was released at once, before the PCR was capped.
    pub(super) fn released(&self) -> Option<Secrets> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what was released: the TPM gives it once a boot.
    pub(super) fn keep(&self, secrets: Secrets) {
        *self.released.lock().unwrap_or_else(PoisonError::into_inner) = Some(secrets);
    }

    /// Has it read anew when it is next needed.
    pub(super) fn forget_pin(&self) {
        *self.pin.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn too_long() -> CustodyError {
    error(ErrorKind::Broken, "pin", "a hash is too long for this TPM", "Run: local-vault custody tpm status")
}
