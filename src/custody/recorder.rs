use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{CustodyError, DataKey, EpochKeys, Protection, Purpose, WrappedKey, WrappingKey};
use crate::facts::Digest;
use crate::protocol::Domain;

/// What a key is about to do: names and hashes, and nothing that was secret or signed.
#[derive(Debug, Clone, Copy)]
pub enum KeyUse<'a> {
    /// Destroy what wraps a data key, in the device.
    DestroyDataKey {
        /// The wrapping key.
        key_id: &'a str,
        /// The hash of the wrapped data key.
        wrapped: Digest,
    },
    /// Make a data key.
    MakeDataKey {
        /// The wrapping key.
        key_id: &'a str,
        /// How it wraps.
        scheme: &'a str,
        /// The hash of what the data key is for.
        context: Digest,
    },
    /// Open a data key.
    OpenDataKey {
        /// The wrapping key.
        key_id: &'a str,
        /// How it wraps.
        scheme: &'a str,
        /// The hash of what the data key is for.
        context: Digest,
    },
    /// Sign.
    Sign {
        /// What the key is for.
        purpose: Purpose,
        /// What the signature is for.
        domain: Domain,
        /// The key's name for verifiers.
        kid: &'a str,
        /// The hash of what is signed.
        hash: Digest,
        /// On whose behalf, where that has an id.
        request: Option<&'a str>,
    },
}

/// What [`Recorder::record`] gives.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), CustodyError>> + Send + 'a>>;

/// Writes down what keys are used for, before they are (I9). Where it fails, the key is not used.
pub trait Recorder: Send + Sync + fmt::Debug {
    /// Writes it down durably.
    fn record(&self, used: &KeyUse<'_>) -> Recording<'_>;

    /// The same for callers that may block.
    fn record_blocking(&self, used: &KeyUse<'_>) -> Result<(), CustodyError>;

    /// Notes that the device keeps nothing of a data key any more. Waits for nothing.
    fn destroyed(&self, key_id: &str, wrapped: &Digest);

    /// Notes that a key, named by its purpose, did not do it. Waits for nothing.
    fn failed(&self, key: &str, request: Option<&str>, error: &CustodyError);
}

/// A wrapping key whose use is written down first.
#[derive(Debug)]
pub struct RecordedWrappingKey {
    key: Arc<dyn WrappingKey>,
    recorder: Arc<dyn Recorder>,
}

impl RecordedWrappingKey {
    /// Writes down to `recorder` what `key` is used for.
    pub const fn new(key: Arc<dyn WrappingKey>, recorder: Arc<dyn Recorder>) -> Self {
        Self { key, recorder }
    }

    fn noted<T>(&self, done: Result<T, CustodyError>) -> Result<T, CustodyError> {
        done.inspect_err(|e| self.recorder.failed("wrapping", None, e))
    }
}

impl WrappingKey for RecordedWrappingKey {
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
        let (key_id, scheme, context_hash) = (self.key_id(), self.scheme(), Digest::of(context));
        self.recorder.record_blocking(&KeyUse::MakeDataKey { key_id, scheme, context: context_hash })?;
        self.noted(self.key.generate_data_key(context))
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        let (key_id, scheme, context_hash) = (self.key_id(), self.scheme(), Digest::of(context));
        self.recorder.record_blocking(&KeyUse::OpenDataKey { key_id, scheme, context: context_hash })?;
        self.noted(self.key.unwrap_data_key(wrapped, context))
    }

    fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
        self.key.epoch_keys().is_some().then_some(self)
    }
}

impl EpochKeys for RecordedWrappingKey {
    fn destroy(&self, wrapped: &WrappedKey) -> Result<bool, CustodyError> {
        // There was one when this was handed out.
        let Some(keys) = self.key.epoch_keys() else { return Ok(false) };
        let (key_id, hash) = (self.key.key_id(), Digest::of(&wrapped.0));
        self.recorder.record_blocking(&KeyUse::DestroyDataKey { key_id, wrapped: hash })?;
        let was_there = self.noted(keys.destroy(wrapped))?;
        self.recorder.destroyed(key_id, &hash);
        Ok(was_there)
    }
}
