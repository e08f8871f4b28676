//! What commands of the binary are told of the keys, by variables and in config files.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use local_vault::custody::SharedSigningKey;

pub(crate) use super::device::Settings;
use super::device::{Device, Named, OwnDevice, Words, text};
use super::swtpm::Swtpm;

/// What a command that relays has, and what one that only enqueues has: no signing key.
pub(crate) struct Commands {
    pub(crate) enqueues: Settings,
    pub(crate) relays: Settings,
    /// For as long as they run.
    pub(crate) device: Own,
}

/// The device that the commands of one test use: its own, or what everybody uses. None where keys are in files.
pub(crate) struct Own(Option<Box<dyn OwnDevice>>);

impl Own {
    /// With the keys that were made so far.
    pub(crate) fn new() -> Self {
        Self(super::device().map(Device::own))
    }

    /// What tells of the device, for commands that inherit nothing.
    pub(crate) fn settings(&self) -> Settings {
        self.0.iter().flat_map(|own| own.settings()).collect()
    }

    /// Gives back what the device lost in a kill, as none does but in software. Says whether it had. `folder`: the
    /// spool's.
    pub(crate) fn mend(&self, folder: &Path) -> bool {
        self.0.as_ref().is_some_and(|own| own.mend(folder))
    }

    /// The TPM, where it is one.
    pub(crate) fn swtpm(&self) -> Option<&Swtpm> {
        self.0.as_ref()?.swtpm()
    }
}

impl Commands {
    /// For the signing key `k1` and the spool's keys with these numbers, and a receiver whose authority is this one.
    /// Over a device everything is in two config files in `folder`.
    pub(crate) fn new(folder: &Path, signing: u8, root: u8, ca_file: &Path) -> Self {
        let Some(device) = super::device() else {
            let enqueues = vec![("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", URL_SAFE.encode([root; 32]).into())];
            let mut relays = enqueues.clone();
            relays.push(("ATTESTO_LOCAL_VAULT_SIGNING_KEY", hex::encode([signing; 32]).into()));
            relays.push(("ATTESTO_LOCAL_VAULT_CA_FILE", ca_file.into()));
            return Self { enqueues, relays, device: Own(None) };
        };
        let spool = spool_sections(device, root);
        let relay = key_section("relay", device.signing_key(signing), "k1");
        let relay = relay + &section("relay", &vec![("ca_file", text(ca_file))]);
        let own = device.own();
        let write = |name: &str, keys: &[&str]| {
            let path = folder.join(name);
            fs::write(&path, device_section(device, &*own) + &keys.concat()).unwrap();
            own.settings().into_iter().chain([("ATTESTO_LOCAL_VAULT_CONFIG", path.into_os_string())]).collect()
        };
        let enqueues = write("enqueue.toml", &[&spool]);
        let relays = write("relay.toml", &[&spool, &relay]);
        Self { enqueues, relays, device: Own(Some(own)) }
    }
}

/// The published settings of a signing key, whose seed this is, without their prefix. In a token it was imported; of a
/// device that they cannot name they say nothing.
pub(crate) fn published_signing_key(seed: [u8; 32]) -> Words {
    match super::device() {
        None => vec![("SIGNING_KEY", hex::encode(seed))],
        Some(device) => device.published_settings(seed),
    }
}

/// A config file for a run over a device, with the spool's keys in it too, and the device. None over files: there is no
/// need.
pub(crate) fn config_file(folder: &Path, seed: [u8; 32], kid: &str) -> Option<(PathBuf, Own)> {
    let device = super::device()?;
    let keys = spool_sections(device, 1) + &key_section("relay", device.imported_key(seed), kid);
    let own = device.own();
    let path = folder.join("device.toml");
    fs::write(&path, device_section(device, &*own) + &keys).unwrap();
    Some((path, Own(Some(own))))
}

fn device_section(device: &dyn Device, own: &dyn OwnDevice) -> String {
    let backend = section("custody", &vec![("backend", device.name().to_owned())]);
    backend + &section(&format!("custody.{}", device.name()), &own.words())
}

fn spool_sections(device: &dyn Device, number: u8) -> String {
    let wrapping = section(&format!("custody.{}.wrapping", device.name()), &device.wrapping_key(number).words);
    wrapping + &key_section("record", device.record_key(number), "record")
}

fn key_section(purpose: &str, key: Named<SharedSigningKey>, kid: &str) -> String {
    let mut words = key.words;
    words.push(("public_key", key.key.public_key().to_hex()));
    words.push(("kid", kid.to_owned()));
    section(&format!("custody.keys.{purpose}"), &words)
}

fn section(heading: &str, words: &Words) -> String {
    let lines: String = words.iter().map(|(name, value)| format!("{name} = {value:?}\n")).collect();
    format!("\n[{heading}]\n{lines}")
}
