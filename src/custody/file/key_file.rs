use std::path::PathBuf;

use super::encryption::Encryption;
use super::signing::FileKey;
use super::{misconfigured, pkcs8_key, published, read_secret_file};
use crate::custody::CustodyError;
use crate::facts::SecretBytes;

/// Where a key comes from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file of mode 0600.
    File(PathBuf),
    /// The value of a setting.
    Setting {
        /// Its name, for errors.
        name: &'static str,
        /// Its value.
        value: SecretBytes,
    },
}

impl KeySource {
    /// Names the source, never its content.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Setting { name, .. } => (*name).to_owned(),
        }
    }

    /// Reads the source. Blocks on the file.
    pub fn read(&self) -> Result<SecretBytes, CustodyError> {
        match self {
            Self::File(path) => read_secret_file(path),
            Self::Setting { value, .. } => Ok(value.clone()),
        }
    }
}

/// Loads a private key: PKCS#8 PEM of Ed25519 or P-256, encrypted or plain, or the published forms of an Ed25519
/// seed (64 hex digits of either case, or 32 bytes in padded base64), white space around them ignored.
///
/// The text tells the form; a key that does not read in its form is not tried in another. `passphrase` is asked for
/// only where the key is encrypted.
pub fn load_signing_key(
    source: &KeySource,
    passphrase: Option<&KeySource>,
) -> Result<(FileKey, Encryption), CustodyError> {
    let name = source.name();
    let bytes = source.read()?;
    let text = bytes.expose_str().map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| misconfigured("parse", format!("{name} holds no key"), FORMS))?;
    // RFC 7468 allows text in front, which some tools write; no hex and no base64 contains this.
    if text.contains("-----BEGIN ") {
        return pkcs8_key::load(text, &name, passphrase);
    }
    let seed = published::seed(text);
    let seed = seed.ok_or_else(|| misconfigured("parse", format!("{name} is not a key of 32 bytes"), FORMS))?;
    Ok((FileKey::from_seed(*seed), Encryption::None))
}

const FORMS: &str = "A key is PKCS#8 PEM, 64 hex digits, or 32 bytes in base64.";
