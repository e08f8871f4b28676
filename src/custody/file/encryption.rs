use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Pbkdf2Prf, ScryptParams};
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::key_file::KeySource;
use super::{BACKEND, misconfigured};
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::SecretBytes;

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

/// What RFC 8018 section 4.2 calls appropriate for especially critical keys.
const MOST_ITERATIONS: u32 = 10_000_000;

/// The most that scrypt may ask for, in bytes, over all lanes. OpenSSL writes files of 16 MiB.
const MOST_MEMORY: u64 = 256 << 20;

/// Decrypts an EncryptedPrivateKeyInfo (RFC 5958) to the DER of a PrivateKeyInfo. Blocks for the key derivation.
///
/// What the file asks for is checked before the passphrase is read, so that `Refused` means the passphrase.
pub(super) fn decrypt(
    der: &[u8],
    name: &str,
    passphrase: Option<&KeySource>,
) -> Result<(Zeroizing<Vec<u8>>, Encryption), CustodyError> {
    let unsupported = |why: &str| {
        let advice = "Rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem";
        misconfigured("decrypt", format!("{name} is not decrypted: {why}"), advice)
    };
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unsupported(UNKNOWN))?;
    let (parameters, encryption) = check(&info.encryption_algorithm).map_err(unsupported)?;
    let Some(source) = passphrase else {
        let message = format!("{name} is encrypted, and no passphrase is configured");
        return Err(misconfigured("decrypt", message, "Name a passphrase_file beside the key."));
    };
    let refused = || {
        let advice = format!("Check {}; nothing else was tried.", source.name());
        let message = format!("the passphrase does not open {name}");
        CustodyError::new(ErrorKind::Refused, BACKEND, "decrypt", message, advice)
    };
    let secret = source.read()?;
    let mut opened = Zeroizing::new(info.encrypted_data.as_bytes().to_vec());
    let length = match parameters.decrypt_in_place(line(&secret, source)?, &mut opened) {
        Ok(plaintext) => plaintext.len(),
        Err(Pkcs5Error::DecryptFailed) => return Err(refused()),
        Err(_) => return Err(unsupported(UNKNOWN)),
    };
    opened.truncate(length);
    // One wrong passphrase in 256 leaves padding that looks right, with noise in front of it.
    PrivateKeyInfoRef::try_from(opened.as_slice()).map_err(|_| refused())?;
    Ok((opened, encryption))
}

const UNKNOWN: &str = "only PBES2 with AES is supported, under PBKDF2 with SHA-2 or scrypt";

/// Checks what the file asks for, or tells why not. Costs are bounded because a broken file could otherwise ask for
/// hours or for all memory; a cost of zero would even panic further down.
fn check(scheme: &EncryptionScheme) -> Result<(&Parameters, Encryption), &'static str> {
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err("PBES1 is outdated");
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf) if kdf.prf == Pbkdf2Prf::HmacWithSha1 => Err("PBKDF2 with SHA-1 is outdated"),
        Kdf::Pbkdf2(kdf) if !(1..=MOST_ITERATIONS).contains(&kdf.iteration_count) => {
            Err("PBKDF2 asks for none or for more than 10,000,000 iterations")
        }
        Kdf::Pbkdf2(kdf) => Ok((parameters, Encryption::Pbkdf2 { iterations: kdf.iteration_count })),
        Kdf::Scrypt(kdf) if !(1..=MOST_MEMORY).contains(&memory(kdf)) => {
            Err("scrypt asks for nothing or for more than 256 MiB")
        }
        Kdf::Scrypt(_) => Ok((parameters, Encryption::Scrypt)),
        _ => Err(UNKNOWN),
    }
}

/// 128 * N * r * p (RFC 7914 section 2), a measure of memory and of time.
fn memory(kdf: &ScryptParams) -> u64 {
    let lanes = u64::from(kdf.block_size) * u64::from(kdf.parallelization);
    lanes.saturating_mul(kdf.cost_parameter).saturating_mul(128)
}

/// A passphrase is a line; its line end is not part of it.
fn line<'a>(secret: &'a SecretBytes, source: &KeySource) -> Result<&'a [u8], CustodyError> {
    let secret = secret.expose_line();
    if secret.is_empty() {
        let message = format!("{} holds no passphrase", source.name());
        return Err(misconfigured("decrypt", message, "Write the passphrase of the key into it, as one line."));
    }
    Ok(secret)
}
