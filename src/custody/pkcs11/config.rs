use std::fmt;
use std::path::PathBuf;

use crate::custody::PinSource;

/// Which token, through which module, and what opens it.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenName,
    /// Where its PIN comes from.
    pub pin: PinSource,
    /// A profile in place of the one that fits what the token says of itself.
    pub profile: Option<PathBuf>,
    /// A folder where a refused PIN is remembered, so that no later process tries it again.
    pub pin_memory: PathBuf,
}

/// A token by its label, its serial number, or both, of which at least one is there. Never by a slot number: these
/// change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenName {
    /// As it was given when the token was initialised.
    pub label: Option<String>,
    /// As the maker gave it.
    pub serial: Option<String>,
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.serial) {
            (Some(label), Some(serial)) => write!(f, "token {label:?} with the serial {serial}"),
            (Some(label), None) => write!(f, "token {label:?}"),
            (None, Some(serial)) => write!(f, "token with the serial {serial}"),
            (None, None) => write!(f, "token"),
        }
    }
}

/// A key in a token by its CKA_LABEL and, but for the published settings, its CKA_ID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyName {
    /// CKA_LABEL.
    pub label: String,
    /// CKA_ID.
    pub id: Option<Vec<u8>>,
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "key {:?} (id {})", self.label, hex::encode(id)),
            None => write!(f, "key {:?}", self.label),
        }
    }
}
