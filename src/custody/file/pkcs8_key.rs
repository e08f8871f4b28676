use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};

use super::key_file::KeySource;
use super::signing::FileKey;
use super::{BACKEND, broken, misconfigured};
use crate::custody::{CustodyError, ErrorKind};

/// How a key file is protected at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// PBES2 with PBKDF2 (RFC 8018).
    Pbkdf2 {
        /// How often the hash is repeated. OpenSSL's `genpkey -aes256` writes 2,048, which is weak.
        iterations: u32,
    },
    /// PBES2 with scrypt (RFC 7914).
    Scrypt,
}

/// id-Ed25519 (RFC 8410) and id-ecPublicKey (RFC 5480).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Reads a PEM key (RFC 7468) that holds PKCS#8 (RFC 5958).
pub(super) fn load(
    pem: &str,
    name: &str,
    passphrase: Option<&KeySource>,
) -> Result<(FileKey, Encryption), CustodyError> {
    let to_pkcs8 = "Rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem";
    let (label, der) = SecretDocument::from_pem(pem)
        .map_err(|_| misconfigured("parse", format!("{name} is PEM that does not read as PKCS#8"), to_pkcs8))?;
    match label {
        "PRIVATE KEY" => Ok((from_der(der.as_bytes(), name)?, Encryption::None)),
        "ENCRYPTED PRIVATE KEY" => {
            let (der, encryption) = decrypt(der.as_bytes(), name, passphrase)?;
            Ok((from_der(der.as_bytes(), name)?, encryption))
        }
        other => Err(misconfigured("parse", format!("{name} is PEM of the kind \"{other}\""), to_pkcs8)),
    }
}

fn decrypt(
    der: &[u8],
    name: &str,
    passphrase: Option<&KeySource>,
) -> Result<(SecretDocument, Encryption), CustodyError> {
    let unreadable = "Rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem";
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| {
        misconfigured("parse", format!("{name} is encrypted in a way that is not supported"), unreadable)
    })?;
    let encryption = match &info.encryption_algorithm {
        EncryptionScheme::Pbes2(parameters) => match &parameters.kdf {
            Kdf::Pbkdf2(kdf) => Encryption::Pbkdf2 { iterations: kdf.iteration_count },
            Kdf::Scrypt(_) => Encryption::Scrypt,
            _ => return Err(misconfigured("decrypt", format!("{name} derives its key in an unknown way"), unreadable)),
        },
        _ => return Err(misconfigured("decrypt", format!("{name} is encrypted in an outdated way"), unreadable)),
    };
    let Some(passphrase) = passphrase else {
        let message = format!("{name} is encrypted, and no passphrase is configured");
        return Err(misconfigured("decrypt", message, "Name a passphrase_file beside the key."));
    };
    let secret = passphrase.read()?;
    let secret = secret.expose();
    // A passphrase is a line; its line feed is not part of it.
    let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    let opened = info.decrypt(secret).map_err(|_| CustodyError {
        kind: ErrorKind::Refused,
        backend: BACKEND,
        operation: "decrypt",
        message: format!("the passphrase does not open {name}"),
        advice: format!("Check {}; nothing else was tried.", passphrase.name()),
    })?;
    Ok((opened, encryption))
}

fn from_der(der: &[u8], name: &str) -> Result<FileKey, CustodyError> {
    let damaged = || broken("parse", format!("{name} holds a private key that does not read"), "Restore the key file.");
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| damaged())?;
    match info.algorithm.oid {
        ED25519 => {
            // Reads the public half too, where it is there, and refuses one that does not belong to the private one.
            let key = ed25519_dalek::SigningKey::try_from(info).map_err(|_| damaged())?;
            Ok(FileKey::from_seed(key.to_bytes()))
        }
        EC => {
            let key = p256::SecretKey::try_from(info).map_err(|_| {
                misconfigured("parse", format!("{name} is an EC key of another curve than P-256"), KINDS)
            })?;
            Ok(FileKey::from_p256(key))
        }
        _ => Err(misconfigured("parse", format!("{name} is neither an Ed25519 nor a P-256 key"), KINDS)),
    }
}

const KINDS: &str = "Make one: openssl genpkey -algorithm ed25519";
