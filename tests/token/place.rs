use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use local_vault::protocol::json::{self, Object};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::sandbox::Sandbox;
use super::softhsm::{SoftHsm, module, write_secret};

pub(crate) const INSTALLATION: &str = "ins_1";
pub(crate) const LABEL: &str = "edge-07";

/// A vault whose keys are in a SoftHSM token, behind the faulty module.
pub(crate) struct Place {
    pub(crate) softhsm: SoftHsm,
    folder: TempDir,
}

impl Place {
    /// With these keys, made as an operator makes them. A key is its words on the command line of `custody generate`.
    pub(crate) fn new(keys: &[&str]) -> Self {
        let place = Self { softhsm: SoftHsm::new(LABEL), folder: tempfile::tempdir().unwrap() };
        fs::copy(faulty_module(), place.path("module.so")).unwrap();
        fs::set_permissions(place.path("module.so"), Permissions::from_mode(0o755)).unwrap();
        let head = format!(
            "installation.id = \"{INSTALLATION}\"\ninstallation.stream_id = \"str_1\"\nspool.path = \"spool.sqlite3\"\n"
        );
        place.softhsm.configure(place.folder.path(), &head, keys);
        place.reconfigure(&format!("module = {:?}", module()), "module = \"module.so\"");
        place
    }

    /// With keys for everything, and a receiver. `wrapping` is the word of the wrapping key.
    pub(crate) fn with_sandbox(wrapping: &str) -> (Self, Sandbox) {
        let place = Self::new(&["relay", "source", "record", wrapping]);
        let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
        let relay = format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
        place.reconfigure("[custody]\n", &format!("{relay}\n[custody]\n"));
        (place, sandbox)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as errors write it.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn secret(&self, name: &str, content: &str) {
        write_secret(&self.path(name), content);
    }

    pub(crate) fn config(&self) -> String {
        fs::read_to_string(self.path("local-vault.toml")).unwrap()
    }

    /// Replaces text in the config file.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "{config}");
        self.write("local-vault.toml", config.replacen(from, to, 1));
    }

    /// What the config file says of a key: `id`, `public_key`.
    pub(crate) fn member(&self, section: &str, name: &str) -> String {
        let config = self.config();
        let (_, section) = config.split_once(&format!("{section}]\n")).unwrap();
        let line = section.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap();
        line.trim_matches('"').to_owned()
    }

    pub(crate) fn public_key(&self, purpose: &str) -> String {
        self.member(&format!("custody.keys.{purpose}"), "public_key")
    }

    /// Lets the module fail so from now on.
    pub(crate) fn plan(&self, faults: &str) {
        // In one moment, also for a process that reads it.
        self.write("plan.new", faults);
        fs::rename(self.path("plan.new"), self.path("plan")).unwrap();
    }

    /// How often a function of the module was called in all processes.
    pub(crate) fn calls(&self, function: &str) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == function).count()
    }

    /// The command with the config file, to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.without_config(words);
        command.env("ATTESTO_LOCAL_VAULT_CONFIG", self.path("local-vault.toml"));
        command
    }

    /// The command with nothing in its environment but what the modules need.
    pub(crate) fn without_config(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.args(words).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.env("LOCAL_VAULT_FAULTY_MODULE_REAL", module());
        command.env("LOCAL_VAULT_FAULTY_MODULE_PLAN", self.path("plan"));
        command.env("LOCAL_VAULT_FAULTY_MODULE_CALLS", self.path("calls"));
        self.softhsm.apply(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
    #[track_caller]
    pub(crate) fn attest(&self, name: &str) {
        self.write(name, name);
        self.ok(&["attest", name]);
    }

    /// How many events of the spool are in a state, without any key.
    pub(crate) fn count(&self, state: &str) -> usize {
        self.ok(&["spool", "list", "--json", "--state", state]).lines().count()
    }
}

/// The faulty module as cargo built it, beside the test.
fn faulty_module() -> PathBuf {
    let test = env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("examples/libfaulty_module.so");
    assert!(
        built.exists(),
        "there is no {}: run cargo build --examples, or cargo test without --test",
        built.display()
    );
    built
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

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It ended with this code, and with these two lines alone on standard error beside its log.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, what: &str, advice: &str) {
        let lines: Vec<&str> = self.err.lines().filter(|line| !is_log(line)).collect();
        assert_eq!((self.code, lines), (Some(code), vec![format!("Error: {what}.").as_str(), advice]), "{self:?}");
    }
}

/// Whether a line begins with a time stamp, as those of the log do.
fn is_log(line: &str) -> bool {
    line.starts_with("20") && line.get(19..20) == Some(".") && line.contains(" WARN ")
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Only a command that is broken says nothing for so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A `drain-loop` that goes on until the test ends.
pub(crate) struct Loop {
    child: Child,
    lines: Receiver<String>,
    said: Option<JoinHandle<String>>,
}

impl Loop {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err): (ChildStdout, ChildStderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(out).lines().try_for_each(|line| sender.send(line.unwrap())));
        let said = thread::spawn(move || {
            let mut said = String::new();
            BufReader::new(err).read_to_string(&mut said).unwrap();
            said
        });
        Self { child, lines, said: Some(said) }
    }

    /// The next line that is not an idle look.
    pub(crate) fn next(&self) -> Object {
        self.until(|line| line.get_str("eventId").is_some() || line.get_str("error").is_some())
    }

    /// The next line of which this is true.
    pub(crate) fn until(&self, is: impl Fn(&Object) -> bool) -> Object {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).expect("a line of the loop");
            let line = json::parse(line.as_bytes()).unwrap();
            if is(&line) {
                return line;
            }
        }
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Asks it to end, which it must do well. Gives what it wrote on standard error.
    pub(crate) fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
