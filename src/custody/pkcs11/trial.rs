use std::sync::{Arc, Mutex, PoisonError};

use super::allowed::Scheme;
use super::config::KeyName;
use super::generate::{NewKey, NewWrappingKey};
use super::token::Token;
use crate::custody::conformance::Subject;
use crate::custody::{CustodyError, Residence, SharedSigningKey, WrappingKey};
use crate::facts::random_id;
use crate::protocol::Algorithm;

/// Makes keys in a token for a test of it, and destroys them when it is dropped. Their labels begin with
/// `local-vault-trial-`, so that what a kill leaves behind is known for what it is.
#[derive(Debug)]
pub struct Trial {
    token: Arc<Token>,
    made: Mutex<Vec<KeyName>>,
}

impl Trial {
    /// In this token, which must let its user make and destroy keys.
    pub const fn new(token: Arc<Token>) -> Self {
        Self { token, made: Mutex::new(Vec::new()) }
    }

    fn name(&self) -> KeyName {
        let id = random_id("");
        let name = KeyName { label: format!("local-vault-trial-{}", &id[..12]), id: hex::decode(&id).ok() };
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        name
    }
}

impl Subject for Trial {
    fn signing(&self, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError> {
        Ok(Arc::new(self.token.generate(&NewKey { name: self.name(), algorithm })?))
    }

    fn wrapping(&self, residence: Residence) -> Result<Arc<dyn WrappingKey>, CustodyError> {
        let scheme = match residence {
            Residence::Released => Scheme::AesGcm,
            Residence::Resident => Scheme::AesKw,
        };
        Ok(Arc::new(self.token.generate_wrapping(&NewWrappingKey { name: self.name(), scheme })?))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            if let Err(e) = self.token.destroy(&name) {
                tracing::warn!(error = e.origin(), "a key of the trial was not destroyed");
                tracing::debug!(key = %name, error = %e, "which key of the trial was not destroyed");
            }
        }
    }
}
