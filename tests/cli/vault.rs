use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use ed25519_dalek::SigningKey;
use local_vault::facts::Digest;
use local_vault::protocol::json::{self, Object};
use tempfile::TempDir;

use super::support::Sandbox;

pub(crate) const INSTALLATION: &str = "ins_1";
pub(crate) const STREAM: &str = "str_1";

const CONFIG: &str = r#"
installation.id = "ins_1"
installation.stream_id = "str_1"
spool.path = "spool.sqlite3"
witness.path = "witness.sqlite3"
witness.first_use = "accept"
witness.rollback = "accepted"
custody.file.encryption_key_file = "encryption.key"

[custody.keys.relay]
file = "relay.key"
kid = "relay-1"

[custody.keys.source]
file = "source.key"
kid = "source-1"

[custody.keys.witness]
file = "witness.key"
kid = "witness-1"
"#;

/// A configured vault in a folder of its own, in which its commands run.
pub(crate) struct Vault {
    folder: TempDir,
}

impl Vault {
    /// With a config file that names a key for each purpose, and no receiver.
    pub(crate) fn new() -> Self {
        let vault = Self { folder: tempfile::tempdir().unwrap() };
        vault.write("local-vault.toml", CONFIG);
        vault.secret("encryption.key", &encryption_key());
        for purpose in ["relay", "source", "witness"] {
            vault.secret(&format!("{purpose}.key"), &seed(purpose).to_string());
        }
        vault
    }

    /// The same, and a sandbox that it relays to.
    pub(crate) fn with_sandbox() -> (Self, Sandbox) {
        Self::with_sandbox_that(&[])
    }

    /// The same, and a sandbox that answers first in these modes.
    pub(crate) fn with_sandbox_that(behaves: &[&str]) -> (Self, Sandbox) {
        let vault = Self::new();
        let trust = format!("{INSTALLATION}={}", public_key("relay"));
        let behaves = behaves.iter().flat_map(|mode| ["--behave", mode]);
        let sandbox = Sandbox::start(&["--trust", &trust].into_iter().chain(behaves).collect::<Vec<_>>());
        let relay = format!("\n[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
        vault.write("local-vault.toml", format!("{CONFIG}{relay}"));
        (vault, sandbox)
    }

    /// The same as `new`, with one event in its spool.
    pub(crate) fn with_an_event() -> Self {
        let vault = Self::new();
        vault.write("a", "alpha");
        vault.ok(&["attest", "a"]);
        vault
    }

    /// Spools a payload as it is, and gives the event's id.
    pub(crate) fn enqueue(&self, stream: &str, source_ref: &str, payload: &str) -> String {
        self.write("payload.json", payload);
        let words = ["--stream-id", stream, "--source-ref", source_ref, "--payload-file", "payload.json"];
        let line = &self.json(&[&["enqueue-json"], words.as_slice()].concat())[0];
        line.get_str("eventId").unwrap().to_owned()
    }

    /// The spool's file, to be edited behind its back.
    pub(crate) fn spool(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path("spool.sqlite3")).unwrap()
    }

    /// Leaves every event that waits one judgement.
    pub(crate) fn use_up_judgements(&self) {
        assert!(self.spool().execute("UPDATE events SET failures = 7", []).unwrap() > 0);
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as errors write it.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    /// Replaces text in the config file.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let config = fs::read_to_string(self.path("local-vault.toml")).unwrap();
        assert!(config.contains(from), "{config}");
        self.write("local-vault.toml", config.replace(from, to));
    }

    /// Adds a section to the config file.
    pub(crate) fn configure(&self, section: &str) {
        let config = fs::read_to_string(self.path("local-vault.toml")).unwrap();
        self.write("local-vault.toml", format!("{config}\n{section}\n"));
    }

    /// The command with the config file, to be run.
    pub(crate) fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = self.without_config(arguments);
        command.env("ATTESTO_LOCAL_VAULT_CONFIG", self.path("local-vault.toml"));
        command
    }

    /// The command with an empty environment.
    pub(crate) fn without_config<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(self.folder.path());
        command.env_clear().env("HOME", self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command with the config file.
    pub(crate) fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Done {
        Done::of(&mut self.command(arguments))
    }

    /// Runs a command that is to end well, and gives its output.
    pub(crate) fn ok<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        self.run(arguments).ok()
    }

    /// Runs a command that prints JSON lines, and is to end well.
    pub(crate) fn json<S: AsRef<str>>(&self, arguments: &[S]) -> Vec<Object> {
        objects(&self.ok(arguments))
    }

    /// Runs `openssl` here, and gives what it wrote the mode that a key file has.
    pub(crate) fn openssl(&self, words: &str) {
        let ran = Command::new("openssl").current_dir(self.folder.path()).args(words.split(' ')).output();
        let ran = ran.expect("openssl is installed (ci/setup installs it)");
        assert!(ran.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ran.stderr));
        let written = words.split(' ').skip_while(|word| *word != "-out").nth(1).unwrap();
        fs::set_permissions(self.path(written), Permissions::from_mode(0o600)).unwrap();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Runs a command that reads `input`.
    pub(crate) fn of_reading(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Self::from(child.wait_with_output().unwrap())
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It ended with this code, and with these lines alone on standard error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, lines: &[&str]) {
        assert_eq!((self.code, self.err.lines().collect::<Vec<_>>()), (Some(code), lines.to_vec()), "{self:?}");
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The secret half of a purpose's key.
pub(crate) fn seed(purpose: &str) -> Digest {
    Digest::of(purpose.as_bytes())
}

/// The public half of a purpose's key, in hex.
pub(crate) fn public_key(purpose: &str) -> String {
    hex::encode(SigningKey::from_bytes(seed(purpose).as_bytes()).verifying_key().as_bytes())
}

/// `PURPOSE=HEX`, as `verify` takes it.
pub(crate) fn trusted(purpose: &str) -> String {
    format!("{purpose}={}", public_key(purpose))
}

pub(crate) fn encryption_key() -> String {
    URL_SAFE.encode(seed("encryption").as_bytes())
}

/// JSON lines.
#[track_caller]
pub(crate) fn objects(lines: &str) -> Vec<Object> {
    lines.lines().map(|line| json::parse(line.as_bytes()).unwrap()).collect()
}

/// The names of an object's members.
pub(crate) fn names(object: &Object) -> Vec<&str> {
    object.iter().map(|(name, _)| name.as_str()).collect()
}
