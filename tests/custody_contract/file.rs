use std::sync::Arc;

use local_vault::custody::conformance::Subject;
use local_vault::custody::file::{KeySource, RootKey, generate_root_key, generate_seed_hex, load_signing_key};
use local_vault::custody::{CustodyError, ErrorKind, Residence, SharedSigningKey, WrappingKey};
use local_vault::facts::SecretBytes;
use local_vault::protocol::Algorithm;
use pkcs8::{EncodePrivateKey as _, LineEnding};

pub(super) fn subject() -> Option<Box<dyn Subject>> {
    Some(Box::new(File))
}

struct File;

impl Subject for File {
    fn signing(&self, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError> {
        let text = match algorithm {
            Algorithm::Ed25519 => generate_seed_hex().as_bytes().to_vec(),
            Algorithm::Es256 => p256_pem(),
        };
        Ok(Arc::new(load_signing_key(&setting(&text), None)?.0))
    }

    fn wrapping(&self, residence: Residence) -> Result<Arc<dyn WrappingKey>, CustodyError> {
        match residence {
            Residence::Released => Ok(Arc::new(RootKey::load(&setting(generate_root_key().as_bytes()))?)),
            Residence::Resident => {
                Err(CustodyError::new(ErrorKind::Unsupported, "file", "generate", "a file is no device", ""))
            }
        }
    }
}

fn p256_pem() -> Vec<u8> {
    let mut scalar = [0; 32];
    getrandom::fill(&mut scalar).unwrap();
    let key = p256::SecretKey::from_slice(&scalar).unwrap();
    let pem = key.to_pkcs8_der().unwrap().to_pem("PRIVATE KEY", LineEnding::LF).unwrap();
    pem.as_bytes().to_vec()
}

fn setting(value: &[u8]) -> KeySource {
    KeySource::Setting { name: "KEY", value: SecretBytes::new(value.to_vec()) }
}
