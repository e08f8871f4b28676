use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use local_vault::protocol::json::{self, Object};
use local_vault::spool::{Destination, Event, Filter, SpoolReader};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::custody::commands::Commands;
use super::place::{INSTALLATION, ROOT, SIGNING};
use super::support::Sandbox;

/// The real binary with the published settings, in a folder of its own.
pub(crate) struct Vault {
    folder: TempDir,
    url: String,
    pub(crate) commands: Commands,
}

impl Vault {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let commands = Commands::new(folder.path(), SIGNING, ROOT, &sandbox.ca_file());
        Self { folder, url: sandbox.url().to_owned(), commands }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.folder().join("spool.sqlite3")
    }

    /// A command that may only enqueue: it has no signing key and knows no receiver.
    pub(crate) fn enqueuer<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.args(arguments).current_dir(self.folder()).env_clear().env("HOME", self.folder());
        command.envs(self.commands.enqueues.iter().cloned());
        command.env("ATTESTO_LOCAL_VAULT_SPOOL_DB", self.spool());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command with all settings.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = self.enqueuer(arguments);
        command.envs(self.commands.relays.iter().cloned());
        command.env("ATTESTO_LOCAL_VAULT_KEY_ID", "k1");
        command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", INSTALLATION);
        command.env("ATTESTO_LOCAL_VAULT_RELAY_URL", &self.url);
        command
    }

    /// Runs to the end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs to an end that must be good.
    pub(crate) fn succeed<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs to the end and gives the exit code.
    pub(crate) fn code<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Option<i32> {
        self.run(arguments).status.code()
    }

    /// Enqueues as cron would: without a signing key. Gives the event id.
    pub(crate) fn enqueue(&self, stream: &str, source_ref: &str, payload: &str) -> String {
        let file = self.folder().join("payload.json");
        fs::write(&file, payload).unwrap();
        let arguments = ["enqueue-json", "--stream-id", stream, "--source-ref", source_ref, "--payload-file"];
        let output = self.enqueuer(&arguments).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        json::parse(&output.stdout).unwrap().get_str("eventId").unwrap().to_owned()
    }

    pub(crate) fn reader(&self) -> SpoolReader {
        SpoolReader::open(&self.spool()).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.reader().list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap()
    }

    pub(crate) fn destination(&self) -> Destination {
        self.reader().destination().unwrap()
    }
}

/// What a process printed on both.
pub(crate) fn said(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Standard output, an object a line.
pub(crate) fn lines(output: &[u8]) -> Vec<Object> {
    output.split(|&c| c == b'\n').filter(|line| !line.is_empty()).map(|line| json::parse(line).unwrap()).collect()
}

/// A process that ends with the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(self.child()), signal).unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> Output {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub(crate) fn wait(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
