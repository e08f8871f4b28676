//! Custody in files and settings: PKCS#8 keys, encrypted or plain, and the published package's forms. For
//! development, and for boxes without a device. [`Protection::Software`](super::Protection::Software) throughout.

mod encryption;
mod fernet;
mod key_file;
mod pkcs8_key;
mod published;
mod root;
mod secret_file;
mod signing;

pub use encryption::Encryption;
pub use key_file::{KeySource, load_signing_key};
pub use root::{RootKey, generate_root_key};
pub use secret_file::{read_credential_file, read_secret_file};
pub use signing::{FileKey, generate_seed_hex};

use super::{CustodyError, ErrorKind};

const BACKEND: &str = "file";

fn misconfigured(operation: &'static str, message: String, advice: impl Into<String>) -> CustodyError {
    CustodyError::new(ErrorKind::Misconfigured, BACKEND, operation, message, advice)
}

fn broken(operation: &'static str, message: String, advice: impl Into<String>) -> CustodyError {
    CustodyError::new(ErrorKind::Broken, BACKEND, operation, message, advice)
}
