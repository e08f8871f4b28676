//! What commands of the binary are told of the keys, by variables and in config files.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use local_vault::custody::SigningKey as _;

use super::device::{SoftHsm, device, imported, wrapping_label};
use super::{Backend, backend, section, text};

/// Variables and their values.
pub(crate) type Settings = Vec<(&'static str, OsString)>;

/// What a command that relays has, and what one that only enqueues has: no signing key.
pub(crate) struct Commands {
    pub(crate) enqueues: Settings,
    pub(crate) relays: Settings,
    /// For as long as they run.
    pub(crate) device: OwnDevice,
}

/// The device that the commands of one test use: its own SoftHSM, or what everybody uses.
pub(crate) struct OwnDevice(Option<SoftHsm>);

impl OwnDevice {
    /// With the keys that were made so far.
    pub(crate) fn new() -> Self {
        Self(if backend() == Backend::File { None } else { device().copied() })
    }

    /// Gives the token back where SoftHSM lost it in a kill, as no device does. Says whether it did.
    pub(crate) fn mend(&self) -> bool {
        self.0.as_ref().is_some_and(|copy| SoftHsm::of_this_process().mend(copy))
    }

    /// What tells the module, for commands that inherit nothing.
    pub(crate) fn settings(&self) -> Settings {
        let softhsm = self.0.iter().map(|softhsm| ("SOFTHSM2_CONF", softhsm.conf().into_os_string()));
        let others = ["KRYOPTIC_CONF", "SOFTHSM2_CONF"].into_iter().filter(|_| self.0.is_none());
        softhsm.chain(others.filter_map(|name| Some((name, env::var_os(name)?)))).collect()
    }
}

impl Commands {
    /// For the signing key `k1` and the spool's keys with these numbers, and a receiver whose authority is this one.
    /// Over a token everything is in two config files in `folder`.
    pub(crate) fn new(folder: &Path, signing: u8, root: u8, ca_file: &Path) -> Self {
        match backend() {
            Backend::File => {
                let enqueues = vec![("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", URL_SAFE.encode([root; 32]).into())];
                let mut relays = enqueues.clone();
                relays.push(("ATTESTO_LOCAL_VAULT_SIGNING_KEY", hex::encode([signing; 32]).into()));
                relays.push(("ATTESTO_LOCAL_VAULT_CA_FILE", ca_file.into()));
                Self { enqueues, relays, device: OwnDevice(None) }
            }
            Backend::Token(_) => {
                let spool = token_section() + &spool_sections(root);
                let label = format!("signing-{signing}");
                let relay = section("relay", &[("ca_file", text(ca_file))]) + &key_section("relay", &label, "k1");
                let device = OwnDevice::new();
                let write = |name: &str, content: &str| {
                    let path = folder.join(name);
                    fs::write(&path, content).unwrap();
                    let config = ("ATTESTO_LOCAL_VAULT_CONFIG", path.into_os_string());
                    device.settings().into_iter().chain([config]).collect()
                };
                let (enqueues, relays) =
                    (write("enqueue.toml", &spool), write("relay.toml", &(spool.clone() + &relay)));
                Self { enqueues, relays, device }
            }
        }
    }
}

/// The published settings of a signing key, whose seed this is, without their prefix. Over a token it was imported.
pub(crate) fn published_signing_key(seed: [u8; 32]) -> Vec<(&'static str, String)> {
    match backend() {
        Backend::File => vec![("SIGNING_KEY", hex::encode(seed))],
        Backend::Token(_) => {
            let label = imported(seed);
            vec![
                ("SIGNING_PROVIDER", "pkcs11".into()),
                ("PKCS11_MODULE", text(device().module()).into()),
                ("PKCS11_TOKEN_LABEL", device().label().into()),
                ("PKCS11_KEY_LABEL", label.into()),
                ("PKCS11_PIN_FILE", text(device().pin_file()).into()),
            ]
        }
    }
}

/// A config file for a run over a token, where the spool's keys are in it too. None over files: there is no need.
pub(crate) fn config_file(folder: &Path, seed: [u8; 32], kid: &str) -> Option<PathBuf> {
    if backend() == Backend::File {
        return None;
    }
    let path = folder.join("token.toml");
    fs::write(&path, token_section() + &spool_sections(1) + &key_section("relay", imported(seed), kid)).unwrap();
    Some(path)
}

fn token_section() -> String {
    let device = device();
    let members =
        [("module", text(device.module())), ("token_label", device.label()), ("pin_file", text(device.pin_file()))];
    section("custody", &[("backend", "pkcs11")]) + &section("custody.pkcs11", &members)
}

fn spool_sections(number: u8) -> String {
    let Backend::Token(scheme) = backend() else { unreachable!("file keys need no config file") };
    device().wrapping_key(number, scheme);
    let label = wrapping_label(number, scheme);
    let wrapping = section("custody.pkcs11.wrapping", &[("label", &label), ("id", &hex::encode(&label))]);
    wrapping + &key_section("record", &format!("record-{number}"), "record")
}

fn key_section(purpose: &str, label: &str, kid: &str) -> String {
    let public_key = device().signing_key(label).public_key().to_hex();
    let members = [("label", label), ("id", &hex::encode(label)), ("public_key", &public_key), ("kid", kid)];
    section(&format!("custody.keys.{purpose}"), &members)
}
