//! The file backend: key files as the real `openssl` writes them, the published forms, and files that are refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "custody_file/derived.rs"]
mod derived;
#[path = "custody_file/forms.rs"]
mod forms;
#[path = "custody_file/openssl.rs"]
mod openssl;
#[path = "custody_file/permissions.rs"]
mod permissions;
#[path = "custody_file/pkcs8_traps.rs"]
mod pkcs8_traps;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use local_vault::custody::file::{Encryption, FileKey, KeySource, RootKey, load_signing_key};
use local_vault::custody::{CustodyError, SigningKey as _};
use local_vault::facts::SecretBytes;
use local_vault::protocol::json::Object;
use local_vault::protocol::{Domain, Preimage};
use tempfile::TempDir;

/// The secrets of these tests: two seeds of which one reads as text, a root key, and passphrases.
const SEED: &[u8; 32] = b"`abcdefghijklmnopqrstuvwxyz{|}~\x7f";
const SEED_HEX: &str = "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f";
const SEED_PUBLIC: &str = "174553b456dddfc6908ecab1c101fe6ab21e2baa0617795b7d43a63482993fd5";
const ROOT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PASSPHRASE: &str = "correct horse battery";
const WRONG: &str = "incorrect donkey accumulator";

/// Why a source was refused; no text of the refusal may show a secret.
fn refusal<T: std::fmt::Debug>(result: Result<T, CustodyError>) -> CustodyError {
    let refused = result.expect_err("this is to be refused");
    shows_no_secret(&format!("{refused} {refused:?} {:?}", std::error::Error::source(&refused)));
    refused
}

fn shows_no_secret(text: &str) {
    let root: Vec<u8> = (0..32).collect();
    for secret in [SEED.as_slice(), &root, PASSPHRASE.as_bytes(), WRONG.as_bytes()] {
        let forms = [
            String::from_utf8_lossy(secret).into_owned(),
            hex::encode(secret),
            hex::encode_upper(secret),
            STANDARD.encode(secret),
            URL_SAFE.encode(secret),
            format!("{secret:?}").trim_matches(['[', ']']).to_owned(),
        ];
        // A part of a secret is one too: half of each form must not be there either.
        for form in forms.iter().map(|form| form.chars().take(form.chars().count() / 2).collect::<String>()) {
            assert!(!text.contains(&form), "a secret shows in: {text}");
        }
    }
}

/// A key that loaded must sign, and show its public half alone.
fn works(loaded: Result<(FileKey, Encryption), CustodyError>) -> (FileKey, Encryption) {
    let (key, encryption) = loaded.unwrap();
    let preimage = Preimage::new(Domain::Source, &Object::new().with("text", "a"));
    assert_eq!(key.public_key().verify(&preimage, &key.sign(&preimage).unwrap()), Ok(()));
    shows_no_secret(&format!("{key:?}"));
    (key, encryption)
}

fn file(path: &Path) -> KeySource {
    KeySource::File(path.to_owned())
}

fn setting(value: &str) -> KeySource {
    KeySource::Setting { name: "SIGNING_KEY", value: SecretBytes::new(value.as_bytes().to_vec()) }
}

/// A folder of its own for one test.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn load(source: &KeySource) -> Result<(FileKey, Encryption), CustodyError> {
    load_signing_key(source, None)
}

fn root() -> RootKey {
    RootKey::load(&setting(ROOT)).unwrap()
}
