use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use local_vault::protocol::PublicKey;
use local_vault::protocol::json::{self, Object};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::custody::commands::{self, Own};

pub(crate) const INSTALLATION: &str = "ins_1";
/// The key of the published databases in `tests/data`.
pub(crate) const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub(crate) const SIGNING_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const KEY_ID: &str = "local-vault-1";
/// Under which SIGNING_KEY's signatures verify.
pub(crate) const PUBLIC_KEY: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
pub(crate) const SPOOL: &str = "local-vault-spool.sqlite3";
pub(crate) const WITNESS: &str = "local-vault-witness.sqlite3";
pub(crate) const IDLE: &str = "{\"error\": null, \"eventId\": null, \"sent\": false, \"statusCode\": null}\n";

/// A user of the published package: a folder to stand in, and the settings.
pub(crate) struct Home {
    folder: TempDir,
    settings: Vec<(String, String)>,
    device: Own,
}

/// What a command said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    /// With every setting that the drop-in commands need. Nobody listens at the endpoint.
    pub(crate) fn new() -> Self {
        let signing_key = signing_key();
        let home = Self { folder: tempfile::tempdir().unwrap(), settings: Vec::new(), device: Own::new() };
        let home = signing_key.iter().fold(home, |home, (name, value)| home.with(name, value));
        home.with("ENCRYPTION_KEY", ENCRYPTION_KEY)
            .with("KEY_ID", KEY_ID)
            .with("INSTALLATION_ID", INSTALLATION)
            .with("WITNESS_ID", INSTALLATION)
            .with("RELAY_URL", "http://127.0.0.1:9/events")
    }

    /// Where the keys of this run are in a device: the spool's too, as a config file says.
    pub(crate) fn with_the_spool_in_custody(mut self) -> Self {
        let Some((config, device)) = commands::config_file(self.folder.path(), seed(), KEY_ID) else { return self };
        self.device = device;
        self.with("CONFIG", config.to_str().unwrap())
    }

    /// With a setting, in place of an earlier value.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.settings.push((format!("ATTESTO_LOCAL_VAULT_{name}"), value.to_owned()));
        self
    }

    /// Without a setting. A signing key may be several.
    pub(crate) fn without(mut self, name: &str) -> Self {
        let several = signing_key();
        let names = several.iter().map(|(name, _)| *name).filter(|_| name == "SIGNING_KEY");
        for name in names.chain([name]) {
            self.settings.retain(|(known, _)| *known != format!("ATTESTO_LOCAL_VAULT_{name}"));
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Puts a database of the published package into the folder, under its default name.
    pub(crate) fn has_published(&self, fixture: &str, name: &str) {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published");
        fs::copy(data.join(fixture), self.path(name)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).envs(self.device.settings());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Self::said(&mut self.command(arguments))
    }

    /// Runs a command that may make files, and write nothing to them, as on a full disk.
    pub(crate) fn run_without_room(&self, arguments: &[&str]) -> Said {
        let command = self.command(arguments);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_local-vault")]);
        shell.args(arguments).current_dir(self.folder.path()).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::said(&mut shell)
    }

    fn said(command: &mut Command) -> Said {
        let done = command.output().unwrap();
        Said {
            code: done.status.code().unwrap(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// Starts a command whose output is read as it comes.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines }
    }

    /// Spools a payload.
    pub(crate) fn enqueue(&self, stream: &str, source_ref: &str, payload: &str) -> Said {
        self.write("payload.json", payload);
        let flags =
            ["enqueue-json", "--stream-id", stream, "--source-ref", source_ref, "--payload-file", "payload.json"];
        self.run(&flags)
    }

    /// Spools a payload, which is new. Gives its id.
    pub(crate) fn spool(&self, stream: &str, source_ref: &str, payload: &str) -> String {
        let said = self.enqueue(stream, source_ref, payload);
        let line: Object = json::parse(said.out.as_bytes()).unwrap();
        let id = line.get_str("eventId").unwrap().to_owned();
        assert_eq!((said.code, said.out.as_str()), (0, queued(&id).as_str()));
        id
    }
}

/// A command that runs, and ends with the test.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line of its output; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.next().map(|line| line.unwrap() + "\n")
    }

    /// Sends a signal and waits for the end. Gives the exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// Asserts the code and the output; standard error may say what it likes.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, out: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, out), "{}", self.err);
    }

    /// Asserts that nothing was said.
    #[track_caller]
    pub(crate) fn is_quiet(&self) {
        assert_eq!(self.err, "");
    }

    /// Standard error, which must be one line.
    #[track_caller]
    pub(crate) fn one_line(&self) -> &str {
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err.trim_end()
    }

    pub(crate) fn object(&self) -> Object {
        json::parse(self.out.as_bytes()).unwrap()
    }
}

/// What `enqueue-json` prints.
pub(crate) fn queued(id: &str) -> String {
    enqueued(id, "queued")
}

pub(crate) fn enqueued(id: &str, status: &str) -> String {
    format!("{{\"eventId\": \"{id}\", \"status\": \"{status}\"}}\n")
}

/// What the drain commands print about an event.
pub(crate) fn sent(id: &str) -> String {
    format!("{{\"error\": null, \"eventId\": \"{id}\", \"sent\": true, \"statusCode\": 201}}\n")
}

pub(crate) fn failed(id: &str, error: &str, status: &str) -> String {
    format!("{{\"error\": \"{error}\", \"eventId\": \"{id}\", \"sent\": false, \"statusCode\": {status}}}\n")
}

/// The settings of the signing key, wherever it is in this run.
fn signing_key() -> Vec<(&'static str, String)> {
    commands::published_signing_key(seed())
}

fn seed() -> [u8; 32] {
    hex::decode(SIGNING_KEY).unwrap().try_into().unwrap()
}

pub(crate) fn public_key() -> PublicKey {
    PublicKey::from_hex(PUBLIC_KEY).unwrap()
}
