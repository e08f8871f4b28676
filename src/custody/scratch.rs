use std::sync::{Arc, Mutex, PoisonError};

use super::{CustodyError, DataKey, EpochKeys, Protection, WrappedKey, WrappingKey};

/// A wrapping key for what does not last: when it is dropped, the device forgets every data key that it wrapped.
#[derive(Debug)]
pub struct ScratchKey {
    key: Arc<dyn WrappingKey>,
    wrapped: Mutex<Vec<WrappedKey>>,
}

impl ScratchKey {
    /// Wraps with this key, and remembers what.
    pub const fn new(key: Arc<dyn WrappingKey>) -> Self {
        Self { key, wrapped: Mutex::new(Vec::new()) }
    }
}

impl WrappingKey for ScratchKey {
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
        self.wrapped.lock().unwrap_or_else(PoisonError::into_inner).push(made.0.clone());
        Ok(made)
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        self.key.unwrap_data_key(wrapped, context)
    }

    fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
        self.key.epoch_keys()
    }
}

impl Drop for ScratchKey {
    fn drop(&mut self) {
        let wrapped = std::mem::take(self.wrapped.get_mut().unwrap_or_else(PoisonError::into_inner));
        let Some(keys) = self.key.epoch_keys() else { return };
        for wrapped in wrapped {
            if let Err(e) = keys.destroy(&wrapped) {
                tracing::warn!(error = e.origin(), "the device still has a half of a data key that nobody uses");
            }
        }
    }
}
