//! The keys of a test run. `LOCAL_VAULT_TEST_CUSTODY` says where they are: `file`, as where it is not set; `pkcs11`;
//! `pkcs11-resident`, whose data keys stay in the token too; or `tpm`. The token is a SoftHSM of the test process, or
//! the one that `LOCAL_VAULT_TEST_PKCS11_*` names; the TPM is a swtpm of the test process. Each test crate uses a part
//! of this.

#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used)]

#[path = "custody/commands.rs"]
pub(crate) mod commands;
#[path = "custody/device.rs"]
mod device;
#[path = "swtpm.rs"]
pub(crate) mod swtpm;
#[path = "custody/token.rs"]
mod token;
#[cfg(feature = "tpm")]
#[path = "custody/tpm.rs"]
pub(crate) mod tpm;
#[path = "tpm_proxy.rs"]
mod tpm_proxy;

use std::env;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::pkcs11::Scheme;
use local_vault::custody::{Purpose, PurposeKey, SharedSigningKey};
use local_vault::spool::SpoolKeys;

use self::device::Device;
use self::token::TokenDevice;

const CUSTODY: &str = "LOCAL_VAULT_TEST_CUSTODY";

/// The device that the keys of this run are in; none where they are in files.
fn device() -> Option<&'static dyn Device> {
    static DEVICE: OnceLock<Option<Box<dyn Device>>> = OnceLock::new();
    let device = DEVICE.get_or_init(|| match env::var(CUSTODY).as_deref() {
        Err(_) | Ok("file") => None,
        Ok("pkcs11") => Some(Box::new(TokenDevice::new(Scheme::AesGcm))),
        Ok("pkcs11-resident") => Some(Box::new(TokenDevice::new(Scheme::AesKw))),
        #[cfg(feature = "tpm")]
        Ok("tpm") => Some(Box::new(tpm::TpmDevice::new())),
        Ok(other) => panic!("{CUSTODY} is {other:?}, and no custody that this build has"),
    });
    device.as_deref()
}

/// The signing key with this number: the same key each time, and another one for each number.
pub(crate) fn signing_key(number: u8) -> SharedSigningKey {
    match device() {
        None => Arc::new(FileKey::from_seed([number; 32])),
        Some(device) => device.signing_key(number).key,
    }
}

/// The keys with this number that a spool is opened with.
pub(crate) fn spool_keys(number: u8) -> SpoolKeys {
    let bind = |key| PurposeKey::bind(Purpose::Record, "record", key).unwrap();
    match device() {
        None => {
            let root = root_key(number);
            let record = bind(Arc::new(root.record_key()));
            SpoolKeys { wrapping: Arc::new(root), record }
        }
        Some(device) => {
            SpoolKeys { wrapping: device.wrapping_key(number).key, record: bind(device.record_key(number).key) }
        }
    }
}

/// The root key with this number, a file key in every run.
fn root_key(number: u8) -> RootKey {
    RootKey::new(&mut [number; 32])
}

/// What the signing key and the root key with these numbers must not give away, with a name for each.
pub(crate) fn secrets(signing: u8, root: u8) -> Vec<(&'static str, Vec<u8>)> {
    match device() {
        None => vec![("the signing key", vec![signing; 32]), ("the root key", vec![root; 32])],
        Some(device) => device.secrets(signing),
    }
}

/// Lets another test process use the keys of this one.
pub(crate) fn share_with(process: &mut Command) -> &mut Command {
    if let Some(device) = device() {
        device.share_with(process);
    }
    process
}

/// Whether this run is over a device, where a test is about files alone. Then it says so, for `ci/test` to tell.
pub(crate) fn is_only_for_files(why: &str) -> bool {
    device().is_some_and(|device| is_left_out(device.name(), why))
}

/// Whether this run is over a device that the published settings cannot name, where a test is about them.
pub(crate) fn has_no_published_settings() -> bool {
    let unknown = device().filter(|device| !device.has_published_settings());
    unknown.is_some_and(|device| is_left_out(device.name(), "the published settings name no such device"))
}

/// Whether this run is over something else, where a test is about a TPM alone.
pub(crate) fn is_only_for_a_tpm() -> bool {
    let custody = device().map_or("file", Device::name);
    custody != "tpm" && is_left_out(custody, "it is about a TPM")
}

fn is_left_out(run: &str, why: &str) -> bool {
    let thread = std::thread::current();
    println!("not run over {run}: {}: {why}", thread.name().unwrap());
    true
}
