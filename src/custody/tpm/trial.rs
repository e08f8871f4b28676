use std::sync::{Arc, Mutex, PoisonError};

use super::error;
use super::worker::Tpm;
use crate::custody::conformance::Subject;
use crate::custody::{CustodyError, ErrorKind, Residence, ScratchKey, SharedSigningKey, WrappingKey};
use crate::facts::random_id;
use crate::protocol::Algorithm;

/// Makes keys in a TPM for a test of it, and destroys them when it is dropped. Their labels begin with
/// `local-vault-trial-`, so that what a kill leaves behind is known for what it is.
#[derive(Debug)]
pub struct Trial {
    tpm: Arc<Tpm>,
    made: Mutex<Vec<String>>,
}

impl Trial {
    /// In this TPM, which was provisioned.
    pub const fn new(tpm: Arc<Tpm>) -> Self {
        Self { tpm, made: Mutex::new(Vec::new()) }
    }

    fn label(&self) -> String {
        let label = format!("local-vault-trial-{}", &random_id("")[..12]);
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(label.clone());
        label
    }
}

impl Subject for Trial {
    fn signing(&self, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError> {
        self.tpm.generate(&self.label(), algorithm)
    }

    fn wrapping(&self, residence: Residence) -> Result<Arc<dyn WrappingKey>, CustodyError> {
        match residence {
            Residence::Released => Ok(Arc::new(ScratchKey::new(Arc::new(self.tpm.generate_wrapping(&self.label())?)))),
            Residence::Resident => {
                let advice = "Its data keys are released to locked memory.";
                Err(error(ErrorKind::Unsupported, "generate", "a TPM is too slow to seal records in", advice))
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for label in made {
            if let Err(e) = self.tpm.evict(&label) {
                tracing::warn!(error = e.origin(), "a key of the trial was not destroyed");
                tracing::debug!(key = label, error = %e, "which key of the trial was not destroyed");
            }
        }
    }
}
