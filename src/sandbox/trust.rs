use std::str::FromStr;

use crate::protocol::{Algorithm, PublicKey};

/// An installation and the key that its envelopes must be signed with. Read from `INSTALLATION_ID=PUBLIC_KEY_HEX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The installation, in characters that stand for themselves in a URL.
    pub installation_id: String,
    /// Its Ed25519 key.
    pub key: PublicKey,
}

impl FromStr for Trust {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let (id, key) = text.split_once('=').ok_or(TrustError::Form)?;
        if id.is_empty() || !id.bytes().all(is_unreserved) {
            return Err(TrustError::InstallationId);
        }
        Ok(Self { installation_id: id.to_owned(), key: ed25519_key(key).ok_or(TrustError::Key)? })
    }
}

/// An Ed25519 key from its hex form: the contracts with the platform know no other.
pub(super) fn ed25519_key(hex: &str) -> Option<PublicKey> {
    PublicKey::from_hex(hex).ok().filter(|key| key.algorithm() == Algorithm::Ed25519)
}

/// RFC 3986, section 2.3.
const fn is_unreserved(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~')
}

/// Why a text names no installation to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// There is no equals sign.
    #[error("expected INSTALLATION_ID=PUBLIC_KEY_HEX")]
    Form,
    /// The id is empty or does not fit a URL as it is.
    #[error("an installation id here has letters, digits and -._~ only")]
    InstallationId,
    /// The key is not an Ed25519 key.
    #[error("the key is not an Ed25519 public key of 64 hex digits")]
    Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_fits_a_url_and_an_ed25519_key_are_trusted() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
        let key = hex::encode(key.as_bytes());
        assert_eq!(format!("ins_1={key}").parse::<Trust>().unwrap().installation_id, "ins_1");
        let refused = [
            ("ins_1".to_owned(), TrustError::Form),
            (format!("={key}"), TrustError::InstallationId),
            (format!("a/b={key}"), TrustError::InstallationId),
            (format!("ins_1={}", &key[2..]), TrustError::Key),
            (format!("ins_1={}", "00".repeat(32)), TrustError::Key),
        ];
        for (text, error) in refused {
            assert_eq!(text.parse::<Trust>(), Err(error), "{text}");
        }
    }
}
