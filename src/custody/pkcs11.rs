//! Custody in a PKCS#11 token: keys that sign and wrap where they are, and never leave.
//!
//! A key is named by label and id in a token that is named by label or serial, never by a slot number or a handle.
//! What differs between tokens is data (`profile`, and the files in `hsm-profiles/`). The vendor's module is loaded
//! once a process; a token that goes away is looked for again when it is next asked for something.

mod allowed;
mod attributes;
mod config;
mod curve;
mod data_object;
mod fault;
mod generate;
mod inventory;
mod key;
mod link;
#[cfg(test)]
mod live;
mod login;
mod module;
mod module_file;
mod object;
mod per_generation;
mod pin_identity;
mod pin_memory;
mod pool;
mod profile;
mod resident;
mod token;
mod token_info;
mod trial;
mod wrapping;

pub use allowed::Scheme;
pub use attributes::Attributes;
pub use config::{KeyName, TokenConfig, TokenName};
pub use data_object::DataObject;
pub use generate::{NewKey, NewWrappingKey};
pub use inventory::FoundKey;
pub use key::TokenKey;
pub use login::PinState;
pub use profile::Profile;
pub use token::{Token, TokenFacts};
pub use trial::Trial;
pub use wrapping::TokenWrappingKey;

use super::{CustodyError, ErrorKind};

const BACKEND: &str = "pkcs11";

fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    advice: impl Into<String>,
) -> CustodyError {
    CustodyError::new(kind, BACKEND, operation, message, advice)
}
