use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Vault;
use crate::cli::failure::Failure;
use crate::custody::PurposeKey;
use crate::facts::{Digest, random_id};
use crate::protocol::attestation::Measurement;
use crate::protocol::json::{self, Object, Value};

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Vault {
    /// What runs, with which key, now.
    pub(in crate::cli) fn measurement(&self, key: &PurposeKey) -> Result<Measurement, Failure> {
        let settings = &self.settings.attestation;
        let edge_core_sha256 = match settings.edge_core {
            Some(digest) => digest,
            None => running_executable()?,
        };
        let provider_manifest_digest = match &settings.provider_manifests {
            Some(folder) => manifests(folder)?,
            None => {
                let digest = self.settings.security_digest();
                digest.map_err(|e| Failure::io("cannot measure the configuration", &e))?
            }
        };
        let mut nonce = [0; 16];
        // The digits are ours.
        hex::decode_to_slice(random_id(""), &mut nonce).expect("32 hex digits");
        Ok(Measurement {
            local_vault_version: VERSION.to_owned(),
            edge_core_sha256,
            provider_manifest_digest,
            signing_key_id: key.kid().to_owned(),
            signing_public_key: key.public_key().clone(),
            issued_at: self.clock.now(),
            nonce,
        })
    }
}

/// The file that this process was started from, also where another one lies at its path by now.
fn running_executable() -> Result<Digest, Failure> {
    let read = fs::read("/proc/self/exe");
    read.map(|bytes| Digest::of(&bytes)).map_err(|e| Failure::io("cannot measure the running executable", &e))
}

/// As published: SHA-256 over the canonical JSON of every manifest by its file's name.
fn manifests(folder: &Path) -> Result<Digest, Failure> {
    let unreadable = |path: &Path, e| Failure::io(&format!("cannot measure {}", path.display()), &e);
    let mut all = BTreeMap::new();
    // A folder that is not there has no manifests.
    let entries = if folder.is_dir() { Some(fs::read_dir(folder).map_err(|e| unreadable(folder, e))?) } else { None };
    for entry in entries.into_iter().flatten() {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_manifest(name)) else {
            continue;
        };
        let text = fs::read(&path).map_err(|e| unreadable(&path, e))?;
        let manifest = json::parse(&text).map_err(|e| Failure::config(e.to_string(), MEND).about(name))?;
        all.insert(name.to_owned(), Value::from(manifest));
    }
    let object = all.into_iter().fold(Object::new(), |object, (name, manifest)| object.with(&name, manifest));
    Ok(Digest::of(&object.to_canonical()))
}

const MEND: &str = "Mend this manifest: what is configured cannot be measured without it.";

/// As Python's `glob("*.json")` has it.
fn is_manifest(name: &str) -> bool {
    name.ends_with(".json")
}
