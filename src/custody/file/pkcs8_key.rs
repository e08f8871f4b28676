use pkcs8::der::pem;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::encryption::{Encryption, decrypt};
use super::key_file::KeySource;
use super::signing::FileKey;
use super::{broken, misconfigured};
use crate::custody::CustodyError;

/// id-Ed25519 (RFC 8410), id-ecPublicKey and secp256r1 (RFC 5480).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Reads a PEM key (RFC 7468) that holds PKCS#8 (RFC 5958).
pub(super) fn load(
    text: &str,
    name: &str,
    passphrase: Option<&KeySource>,
) -> Result<(FileKey, Encryption), CustodyError> {
    // Room for everything, so that the decoder leaves no copy of its own behind, also where it fails midway.
    let mut buffer = Zeroizing::new(vec![0; text.len()]);
    let (label, der) = pem::decode(text.as_bytes(), &mut buffer)
        .map_err(|_| misconfigured("parse", format!("{name} is PEM that does not read as PKCS#8"), TO_PKCS8))?;
    match label {
        "PRIVATE KEY" => Ok((from_der(der, name)?, Encryption::None)),
        "ENCRYPTED PRIVATE KEY" => {
            let (der, encryption) = decrypt(der, name, passphrase)?;
            Ok((from_der(&der, name)?, encryption))
        }
        other => Err(misconfigured("parse", format!("{name} is PEM of the kind \"{other}\""), TO_PKCS8)),
    }
}

fn from_der(der: &[u8], name: &str) -> Result<FileKey, CustodyError> {
    let damaged = || broken("parse", format!("{name} holds a private key that does not read"), "Restore the key file.");
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| damaged())?;
    // Both read the public half too, where it is there, and refuse one that does not belong to the private one.
    match (info.algorithm.oid, info.algorithm.parameters_oid().ok()) {
        (ED25519, _) => {
            let key = ed25519_dalek::SigningKey::try_from(info).map_err(|_| damaged())?;
            Ok(FileKey::from_seed(key.to_bytes()))
        }
        (EC, Some(P256)) => Ok(FileKey::from_p256(p256::SecretKey::try_from(info).map_err(|_| damaged())?)),
        (EC, _) => Err(misconfigured("parse", format!("{name} is an EC key of another curve than P-256"), KINDS)),
        _ => Err(misconfigured("parse", format!("{name} is neither an Ed25519 nor a P-256 key"), KINDS)),
    }
}

const TO_PKCS8: &str = "A private key is rewritten with: openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem";
const KINDS: &str = "Make one: openssl genpkey -algorithm ed25519";
