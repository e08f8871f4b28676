//! What every custody backend keeps to. A new backend adds a row to [`BACKENDS`] and inherits every case.
#![allow(clippy::unwrap_used)]

#[path = "custody_contract/data_key.rs"]
mod data_key;
#[path = "custody_contract/purpose.rs"]
mod purpose;
#[path = "custody_contract/signer.rs"]
mod signer;
#[path = "custody_contract/signing.rs"]
mod signing;
#[path = "custody_contract/wrapping.rs"]
mod wrapping;

use std::sync::Arc;

use local_vault::custody::file::{KeySource, RootKey, generate_root_key, generate_seed_hex, load_signing_key};
use local_vault::custody::{SharedSigningKey, WrappingKey};
use local_vault::facts::SecretBytes;
use local_vault::protocol::json::Object;
use local_vault::protocol::{Domain, Preimage};
use pkcs8::{EncodePrivateKey as _, LineEnding};

/// One backend: each function makes another key at every call.
struct Backend {
    name: &'static str,
    ed25519: fn() -> SharedSigningKey,
    p256: fn() -> SharedSigningKey,
    wrapping: fn() -> Arc<dyn WrappingKey>,
}

const BACKENDS: &[Backend] =
    &[Backend { name: "file", ed25519: file_ed25519, p256: file_p256, wrapping: file_wrapping }];

fn file_ed25519() -> SharedSigningKey {
    file_signing(generate_seed_hex().as_bytes())
}

fn file_p256() -> SharedSigningKey {
    let mut scalar = [0; 32];
    getrandom::fill(&mut scalar).unwrap();
    let key = p256::SecretKey::from_slice(&scalar).unwrap();
    let pem = key.to_pkcs8_der().unwrap().to_pem("PRIVATE KEY", LineEnding::LF).unwrap();
    file_signing(pem.as_bytes())
}

fn file_wrapping() -> Arc<dyn WrappingKey> {
    Arc::new(RootKey::load(&setting(generate_root_key().as_bytes())).unwrap())
}

fn file_signing(text: &[u8]) -> SharedSigningKey {
    Arc::new(load_signing_key(&setting(text), None).unwrap().0)
}

fn setting(value: &[u8]) -> KeySource {
    KeySource::Setting { name: "KEY", value: SecretBytes::new(value.to_vec()) }
}

/// Every domain there is.
const DOMAINS: [Domain; 5] = [Domain::Relay, Domain::Witness, Domain::Fork, Domain::Source, Domain::Epoch];

fn preimage(domain: Domain, text: &str) -> Preimage {
    Preimage::new(domain, &Object::new().with("text", text))
}
