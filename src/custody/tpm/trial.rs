use std::sync::{Arc, Mutex, PoisonError};

use super::worker::Tpm;
use super::wrapping::TpmWrappingKey;
use super::{BACKEND, error};
use crate::custody::conformance::Subject;
use crate::custody::{
    CustodyError, DataKey, EpochKeys, ErrorKind, Protection, Residence, SharedSigningKey, WrappedKey, WrappingKey,
};
use crate::facts::random_id;
use crate::protocol::Algorithm;

/// Makes keys in a TPM for a test of it, and destroys them when it is dropped. Their labels begin with
/// `local-vault-trial-`, so that what a kill leaves behind is known for what it is.
#[derive(Debug)]
pub struct Trial {
    tpm: Arc<Tpm>,
    made: Arc<Made>,
}

#[derive(Debug, Default)]
struct Made {
    labels: Mutex<Vec<String>>,
    wrapped: Mutex<Vec<(Arc<TpmWrappingKey>, WrappedKey)>>,
}

impl Trial {
    /// In this TPM, which was provisioned.
    pub fn new(tpm: Arc<Tpm>) -> Self {
        Self { tpm, made: Arc::default() }
    }

    fn label(&self) -> String {
        let label = format!("local-vault-trial-{}", &random_id("")[..12]);
        self.made.labels.lock().unwrap_or_else(PoisonError::into_inner).push(label.clone());
        label
    }
}

impl Subject for Trial {
    fn signing(&self, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError> {
        self.tpm.generate(&self.label(), algorithm)
    }

    fn wrapping(&self, residence: Residence) -> Result<Arc<dyn WrappingKey>, CustodyError> {
        match residence {
            Residence::Released => {
                let key = Arc::new(self.tpm.generate_wrapping(&self.label())?);
                Ok(Arc::new(Remembering { key, made: self.made.clone() }))
            }
            Residence::Resident => {
                let advice = "Its data keys are released to locked memory.";
                Err(error(ErrorKind::Unsupported, "generate", "a TPM is too slow to seal records in", advice))
            }
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let wrapped = std::mem::take(&mut *self.made.wrapped.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, wrapped) in wrapped {
            told("data key", key.destroy(&wrapped));
        }
        let labels = std::mem::take(&mut *self.made.labels.lock().unwrap_or_else(PoisonError::into_inner));
        for label in labels {
            told(&label, self.tpm.evict(&label));
        }
    }
}

fn told(what: &str, done: Result<bool, CustodyError>) {
    if let Err(e) = done {
        tracing::warn!(backend = BACKEND, key = what, error = %e, "a key of the trial was not destroyed");
    }
}

/// A wrapping key that remembers what it wrapped, so that the halves of it can be destroyed.
#[derive(Debug)]
struct Remembering {
    key: Arc<TpmWrappingKey>,
    made: Arc<Made>,
}

impl WrappingKey for Remembering {
    fn key_id(&self) -> &str {
        self.key.key_id()
    }

    fn scheme(&self) -> &'static str {
        self.key.scheme()
    }

    fn protection(&self) -> Protection {
        self.key.protection()
    }

    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        let made = self.key.generate_data_key(context)?;
        let mut wrapped = self.made.wrapped.lock().unwrap_or_else(PoisonError::into_inner);
        wrapped.push((self.key.clone(), made.0.clone()));
        Ok(made)
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        self.key.unwrap_data_key(wrapped, context)
    }

    fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
        self.key.epoch_keys()
    }
}
