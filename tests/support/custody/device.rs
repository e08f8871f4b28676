//! What a device is to the tests, whichever it is.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use local_vault::custody::{CustodyError, SharedSigningKey, WrappingKey};

use super::swtpm::Swtpm;

/// Keys of this process's tests in a device: each is the same whenever it is asked for, and made where there is none.
pub(crate) trait Device: Send + Sync {
    /// As `custody.backend` names it, and the section below.
    fn name(&self) -> &'static str;

    /// The Ed25519 key with this number.
    fn signing_key(&self, number: u8) -> Named<SharedSigningKey>;

    /// The key with this number that signs records.
    fn record_key(&self, number: u8) -> Named<SharedSigningKey>;

    /// The key with this number that wraps data keys.
    fn wrapping_key(&self, number: u8) -> Named<Arc<dyn WrappingKey>>;

    /// The Ed25519 key of this seed, which was put into the device.
    fn imported_key(&self, seed: [u8; 32]) -> Named<SharedSigningKey>;

    /// Whether the published settings can name it.
    fn has_published_settings(&self) -> bool {
        false
    }

    /// The published settings of the imported key.
    fn published_settings(&self, _seed: [u8; 32]) -> Words {
        Words::new()
    }

    /// What everybody who uses the signing key with this number has, and nobody may see.
    fn secrets(&self, number: u8) -> Vec<(&'static str, Vec<u8>)>;

    /// What names this device to another test process.
    fn share_with(&self, process: &mut Command);

    /// A device with the keys that were made so far, for the commands of one test.
    fn own(&self) -> Box<dyn OwnDevice>;
}

/// A key with what a config file says of it, beside its public half.
pub(crate) struct Named<K> {
    pub(crate) key: K,
    pub(crate) words: Words,
}

/// Members of a section.
pub(crate) type Words = Vec<(&'static str, String)>;

/// Variables and their values.
pub(crate) type Settings = Vec<(&'static str, OsString)>;

/// What the commands of one test do to it no other test sees.
pub(crate) trait OwnDevice: Send + Sync {
    /// What a config file says of the device.
    fn words(&self) -> Words;

    /// What else tells of it, for commands that inherit nothing.
    fn settings(&self) -> Settings {
        Vec::new()
    }

    /// Gives back what the device lost because a process was killed, as none does but in software. Says whether it had.
    fn mend(&self, _folder: &Path) -> bool {
        false
    }

    /// The TPM, where it is one, to take its power away.
    fn swtpm(&self) -> Option<&Swtpm> {
        None
    }
}

/// The key of that label, looked for or made by one thread at a time.
pub(crate) fn known_or<K: ?Sized>(
    known: &Mutex<HashMap<String, Arc<K>>>,
    label: &str,
    open: impl FnOnce() -> Result<Arc<K>, CustodyError>,
) -> Arc<K> {
    let mut known = known.lock().unwrap();
    if let Some(key) = known.get(label) {
        return key.clone();
    }
    let key = open().unwrap();
    known.insert(label.to_owned(), key.clone());
    key
}

/// As a config file or a variable writes a path.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
