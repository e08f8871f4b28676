//! The keys of a test run. `LOCAL_VAULT_TEST_CUSTODY` says where they are: `file`, as where it is not set; `pkcs11`; or
//! `pkcs11-resident`, whose data keys stay in the token too. The token is a SoftHSM of the test process, or the one
//! that `LOCAL_VAULT_TEST_PKCS11_*` names. Each test crate uses a part of this.

#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used)]

#[path = "custody/commands.rs"]
pub(crate) mod commands;
#[path = "custody/device.rs"]
mod device;

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::pkcs11::Scheme;
use local_vault::custody::{Purpose, PurposeKey, SharedSigningKey};
use local_vault::spool::SpoolKeys;

use self::device::device;

/// Where the keys of this run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    File,
    /// In a token, whose wrapping keys wrap so.
    Token(Scheme),
}

const CUSTODY: &str = "LOCAL_VAULT_TEST_CUSTODY";

fn backend() -> Backend {
    match env::var(CUSTODY).as_deref() {
        Err(_) | Ok("file") => Backend::File,
        Ok("pkcs11") => Backend::Token(Scheme::AesGcm),
        Ok("pkcs11-resident") => Backend::Token(Scheme::AesKw),
        Ok(other) => panic!("{CUSTODY} is {other:?}, and not file, pkcs11 or pkcs11-resident"),
    }
}

/// The signing key with this number: the same key each time, and another one for each number.
pub(crate) fn signing_key(number: u8) -> SharedSigningKey {
    match backend() {
        Backend::File => Arc::new(FileKey::from_seed([number; 32])),
        Backend::Token(_) => device().signing_key(&format!("signing-{number}")),
    }
}

/// The keys with this number that a spool is opened with.
pub(crate) fn spool_keys(number: u8) -> SpoolKeys {
    match backend() {
        Backend::File => {
            let root = root_key(number);
            let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
            SpoolKeys { wrapping: Arc::new(root), record }
        }
        Backend::Token(scheme) => {
            let record = device().signing_key(&format!("record-{number}"));
            let record = PurposeKey::bind(Purpose::Record, "record", record).unwrap();
            SpoolKeys { wrapping: device().wrapping_key(number, scheme), record }
        }
    }
}

/// The root key with this number, a file key in every run.
fn root_key(number: u8) -> RootKey {
    RootKey::new(&mut [number; 32])
}

/// What the signing key and the root key with these numbers must not give away, with a name for each. Of a key in a
/// token nobody knows a byte, but everybody who used it had the PIN.
pub(crate) fn secrets(signing: u8, root: u8) -> Vec<(&'static str, Vec<u8>)> {
    match backend() {
        Backend::File => vec![("the signing key", vec![signing; 32]), ("the root key", vec![root; 32])],
        Backend::Token(_) => vec![("the PIN", device().pin().into_bytes())],
    }
}

/// Lets another test process use the keys of this one.
pub(crate) fn share_with(process: &mut Command) -> &mut Command {
    if backend() != Backend::File {
        process.envs(device().named());
    }
    process
}

/// Whether this run is over a token, where a test is about files alone. Then it says so, for `ci/test` to tell.
pub(crate) fn is_only_for_files(why: &str) -> bool {
    let over_a_token = backend() != Backend::File;
    if over_a_token {
        let thread = std::thread::current();
        println!("not run over a token: {}: {why}", thread.name().unwrap());
    }
    over_a_token
}

/// A key's words in a config file.
fn section(heading: &str, members: &[(&str, &str)]) -> String {
    let lines: String = members.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
    format!("\n[{heading}]\n{lines}")
}

/// As a config file or a variable writes a path.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
