//! A receiver in a process of its own, and the processes of a relay that sends to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use local_vault::custody::SigningKey as _;
use local_vault::custody::file::{FileKey, KeySource, load_signing_key};
use local_vault::facts::SecretBytes;
use local_vault::protocol::json;
use tempfile::TempDir;

pub(crate) const ROOT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";
pub(crate) const INSTALLATION: &str = "ins_bench";

/// A sandbox that keeps no record, which would cost more than it serves.
pub(crate) struct Receiver {
    pub(crate) child: Child,
    folder: TempDir,
    ready: json::Object,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        let source = KeySource::Setting { name: "SEED", value: SecretBytes::new(SEED.into()) };
        let (key, _): (FileKey, _) = load_signing_key(&source, None).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_local-vault-sandbox"))
            .args(["serve", "--trust", &format!("{INSTALLATION}={}", key.public_key().to_hex())])
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let text = loop {
            match fs::read(&ready) {
                Ok(text) => break text,
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        };
        Self { child, folder, ready: json::parse(&text).unwrap() }
    }

    pub(crate) fn member(&self, name: &str) -> &str {
        self.ready.get_str(name).unwrap()
    }

    /// A config file for a relay that sends `parallel` streams at once, in a folder beside the spool it names.
    pub(crate) fn config(&self, folder: &Path, spool: &Path, parallel: usize) -> PathBuf {
        let path = folder.join("local-vault.toml");
        for (name, content) in [("encryption.key", ROOT), ("relay.key", SEED)] {
            let key = folder.join(name);
            fs::write(&key, content).unwrap();
            fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let (url, ca_file, spool) = (self.member("url"), self.member("ca_file"), spool.display());
        let config = format!(
            "[installation]\nid = {INSTALLATION:?}\n[spool]\npath = \"{spool}\"\n\
             [relay]\nendpoint = {url:?}\nca_file = {ca_file:?}\nparallel = {parallel}\n\
             [custody.file]\nencryption_key_file = \"encryption.key\"\n\
             [custody.keys.relay]\nfile = \"relay.key\"\nkid = \"k\"\n"
        );
        fs::write(&path, config).unwrap();
        path
    }

    /// The vault's program, without anything of this process's environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.env_clear().env("HOME", self.folder.path());
        command
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It ends with the bench, whatever happens here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
