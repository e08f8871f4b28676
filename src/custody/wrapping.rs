use std::fmt;
use std::sync::Arc;

use super::{CustodyError, DataKey, Protection};

/// A key that wraps data keys. One key, one scheme, fixed by the key and never by the blob. Blocking.
///
/// `context` is bound to the wrapped key: another context does not unwrap it.
pub trait WrappingKey: Send + Sync + fmt::Debug {
    /// Names the key in epoch records. Does not tell anything of its secret.
    fn key_id(&self) -> &str;

    /// Names the scheme in epoch records.
    fn scheme(&self) -> &'static str;

    /// Where the wrapping key is.
    fn protection(&self) -> Protection;

    /// Makes a data key and wraps it.
    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError>;

    /// Opens what [`generate_data_key`](Self::generate_data_key) wrapped. The caller has verified the signed epoch
    /// record that names these bytes before it asks.
    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError>;

    /// What destroys the key of an epoch inside the device, where the device can.
    fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
        None
    }
}

/// Destroys what wraps one data key, inside the device: afterwards no copy of the wrapped key opens. Blocking.
pub trait EpochKeys: Send + Sync {
    /// Destroys it. Whether it was still there; asked again it was not, so that a destruction that was cut short can be
    /// resumed.
    fn destroy(&self, wrapped: &WrappedKey) -> Result<bool, CustodyError>;
}

/// A data key as it is stored: bytes that mean something to the wrapping key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(pub Vec<u8>);
