use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use local_vault::custody::tpm::{Parent, ReleasedKey, ResidentKey, Tcti, Tpm, TpmConfig, TpmWrappingKey, USUAL_PCRS};
use local_vault::custody::{CustodyError, PinSource, SigningKey};
use local_vault::facts::Digest;
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::{Domain, Preimage, PublicKey};
use tempfile::TempDir;

use super::process::Done;
use super::sandbox::Sandbox;
use super::swtpm::Swtpm;
use super::tpm_proxy::Proxy;

pub(crate) const INSTALLATION: &str = "ins_1";
/// Keys for everything that a box does.
pub(crate) const ALL: [&str; 4] = ["relay", "source", "record", "wrapping"];
pub(crate) const RELAY: &str = "local-vault-relay";
pub(crate) const SOURCE: &str = "local-vault-source";
pub(crate) const WRAPPING: &str = "local-vault-wrapping";

/// A vault whose keys are in a swtpm behind a proxy, so that tools reach the TPM while a program is connected.
pub(crate) struct Place {
    pub(crate) proxy: Proxy,
    pub(crate) swtpm: Arc<Swtpm>,
    folder: TempDir,
}

impl Place {
    /// Provisioned, with these keys, as an operator makes them.
    pub(crate) fn new(keys: &[&str]) -> Self {
        Self::with(keys, "")
    }

    /// The same, with more lines in the TPM's section.
    pub(crate) fn with(keys: &[&str], lines: &str) -> Self {
        let place = Self::unprovisioned(lines);
        place.provision(&["--recovery-key", "recovery.key"]);
        keys.iter().for_each(|key| place.generate(key));
        place
    }

    /// With a config file and nothing else.
    pub(crate) fn unprovisioned(lines: &str) -> Self {
        let swtpm = Arc::new(Swtpm::new());
        let place = Self { proxy: Proxy::new(&swtpm), swtpm, folder: tempfile::tempdir().unwrap() };
        place.write(
            "local-vault.toml",
            format!(
                "installation.id = \"{INSTALLATION}\"\ninstallation.stream_id = \"str_1\"\n\
                 spool.path = \"spool.sqlite3\"\n\n[custody]\nbackend = \"tpm\"\n\n[custody.tpm]\ntcti = \"{}\"\n{lines}",
                place.proxy.tcti()
            ),
        );
        // Programs take these for PINs where the lines name them.
        place.secret("pin", "7395-right-pin\n");
        place.secret("owner", "4711-owner-password\n");
        place
    }

    /// With keys for everything, and a receiver.
    pub(crate) fn with_sandbox() -> (Self, Sandbox) {
        let place = Self::new(&ALL);
        let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
        let relay = format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
        place.reconfigure("[custody]\n", &format!("{relay}\n[custody]\n"));
        (place, sandbox)
    }

    /// Provisions, and puts what is printed into the config file.
    #[track_caller]
    pub(crate) fn provision(&self, more: &[&str]) {
        let words = [&["custody", "tpm", "provision", "--policy-key", "policy.pem"], more].concat();
        self.configured_by(&words);
    }

    /// Makes a key by its words on the command line, and puts what is printed into the config file.
    #[track_caller]
    pub(crate) fn generate(&self, key: &str) {
        let words: Vec<&str> = ["custody", "generate"].into_iter().chain(key.split(' ')).collect();
        self.configured_by(&words);
    }

    #[track_caller]
    fn configured_by(&self, words: &[&str]) {
        let printed = self.ok(words);
        self.write("local-vault.toml", self.config() + &printed);
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A file that only its owner reads.
    pub(crate) fn secret(&self, name: &str, content: &str) {
        self.write(name, content);
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.path("local-vault.toml")).unwrap()
    }

    /// Replaces text in the config file.
    #[track_caller]
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "{config}");
        self.write("local-vault.toml", config.replacen(from, to, 1));
    }

    /// What the config file says in a section.
    pub(crate) fn member(&self, section: &str, name: &str) -> String {
        let config = self.config();
        let (_, section) = config.split_once(&format!("{section}]\n")).unwrap();
        let line = section.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap();
        line.trim_matches('"').to_owned()
    }

    pub(crate) fn public_key(&self, purpose: &str) -> String {
        self.member(&format!("custody.keys.{purpose}"), "public_key")
    }

    /// The command with the config file, to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_local-vault")), words)
    }

    /// The same, of another executable.
    pub(crate) fn command_of(&self, executable: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(executable);
        command.args(words).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.env("ATTESTO_LOCAL_VAULT_CONFIG", self.path("local-vault.toml"));
        // The library writes to standard error by itself.
        command.env("TSS2_LOG", "all+NONE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Done {
        Done::of(&mut self.command(words))
    }

    /// Runs a command that is to end well, and gives its output.
    #[track_caller]
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// Attests a new file of this content.
    pub(crate) fn try_attest(&self, name: &str) -> Done {
        self.write(name, name);
        self.run(&["attest", name])
    }

    #[track_caller]
    pub(crate) fn attest(&self, name: &str) {
        self.try_attest(name).ok();
    }

    #[track_caller]
    pub(crate) fn reseal(&self, more: &[&str]) {
        self.ok(&[&["custody", "reseal", "--policy-key", "policy.pem"], more].concat());
    }

    /// How many events of the spool are in a state, without any key.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.ok(&["spool", "list", "--json", "--state", state]).lines().count()
    }

    /// What `custody tpm status` tells, however it ends.
    pub(crate) fn status(&self) -> Object {
        let done = self.run(&["custody", "tpm", "status", "--json"]);
        json::parse(done.out.as_bytes()).unwrap_or_else(|_| panic!("{done:?}"))
    }

    /// The NV indices of ours that no sealed file names.
    pub(crate) fn other_halves(&self) -> Vec<String> {
        let status = self.status();
        let listed = status.get("epochNvIndices").unwrap().as_array().unwrap();
        listed.iter().map(|index| index.as_str().unwrap().to_owned()).collect()
    }

    /// Every file below a folder, with its bytes; but for one that says that somebody is at work, and holds nothing.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let is_content = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "lock");
        files(&self.path(folder))
            .into_iter()
            .filter(is_content)
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    }

    /// The one signed policy that is in use.
    #[track_caller]
    pub(crate) fn policy(&self) -> PathBuf {
        let policies: Vec<PathBuf> = self.files("tpm/policies").into_keys().collect();
        let [policy] = policies.as_slice() else { panic!("{policies:?}") };
        policy.clone()
    }

    /// As this process reaches the TPM.
    pub(crate) fn tpm(&self) -> Arc<Tpm> {
        Tpm::new(self.tpm_config())
    }

    pub(crate) fn tpm_config(&self) -> TpmConfig {
        let has_pin = self.config().contains("pin_file = ");
        TpmConfig {
            tcti: Tcti::parse(&self.proxy.tcti()).unwrap(),
            folder: self.path("tpm"),
            parent: Parent::Template,
            parent_name: Some(self.member("custody.tpm", "parent_name")),
            policy_key: Some(PublicKey::from_hex(&self.member("custody.tpm", "policy_key")).unwrap()),
            recovery_key: None,
            pcrs: USUAL_PCRS.parse().unwrap(),
            application_pcr: None,
            event_log: None,
            security_digest: Digest::of(b"config"),
            pin: has_pin.then(|| PinSource::File(self.path("pin"))),
            owner_auth_file: None,
        }
    }

    /// The source key, which signs in the TPM.
    pub(crate) fn resident(&self) -> ResidentKey {
        ResidentKey::new(self.tpm(), SOURCE, PublicKey::from_hex(&self.public_key("source")).unwrap())
    }

    /// The relay's key, whose seed the TPM releases.
    pub(crate) fn released(&self) -> ReleasedKey {
        ReleasedKey::new(self.tpm(), RELAY, PublicKey::from_hex(&self.public_key("relay")).unwrap())
    }

    pub(crate) fn wrapping(&self) -> Result<TpmWrappingKey, CustodyError> {
        TpmWrappingKey::open(self.tpm(), WRAPPING, &self.member("custody.tpm.wrapping", "key_id"))
    }
}

/// Signs, and verifies that.
pub(crate) fn sign(key: &impl SigningKey, text: &str) -> Result<(), CustodyError> {
    let preimage = Preimage::new(Domain::SelfTest, &Object::new().with("text", text));
    let signature = key.sign(&preimage)?;
    key.public_key().verify(&preimage, &signature).unwrap();
    Ok(())
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
