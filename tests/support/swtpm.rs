//! A swtpm with a folder and ports of its own, which goes with the test. Each test crate uses a part of this.
//!
//! It serves one connection at a time: while a test holds one, [`Swtpm::tool`] and what uses it hang. A test that needs
//! both connects through a `Proxy` (tpm_proxy.rs), which lets go of the TPM after each command.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

/// Below the ports that Linux gives to whoever asks for any.
const PORTS: Range<u16> = 10_240..32_760;

/// Keeps a swtpm, whose control channel is standard error here, until our end of the pipe says a word. Where that
/// closes without one, this process has ended, however it did, and the folder goes too. The swtpm is this shell's
/// child, so that the number it kills is no other process. What a terminal interrupts is us, not them.
const KEEPER: &str = r#"
trap '' HUP INT TERM
folder=$1; shift
swtpm "$@" &
exec >/dev/null 2>&1
read -r word
kill -9 $!
wait
[ -n "$word" ] || rm -rf -- "$folder"
"#;

/// CMD_GET_CAPABILITY of swtpm's control channel.
const CAPABILITIES: [u8; 4] = [0, 0, 0, 1];

pub(crate) struct Swtpm {
    folder: TempDir,
    port: u16,
    /// The shell, while the TPM is on.
    keeper: Mutex<Option<Child>>,
}

impl Swtpm {
    /// A TPM that nobody has used, without certificates. Panics where swtpm is not installed.
    pub(crate) fn new() -> Self {
        Self::in_folder(new_folder())
    }

    /// One that its maker has given endorsement keys with certificates. The authority is [`Self::authority`].
    pub(crate) fn with_ek_certificate() -> Self {
        let folder = new_folder();
        manufacture(folder.path());
        Self::in_folder(folder)
    }

    /// Another one with the same keys and indices, as this one was last written to the disk.
    pub(crate) fn copy(&self) -> Self {
        let folder = new_folder();
        // It is replaced as a whole when it changes.
        let permanent = "tpm2-00.permall";
        fs::copy(state(self.folder()).join(permanent), state(folder.path()).join(permanent)).unwrap();
        Self::in_folder(folder)
    }

    fn in_folder(folder: TempDir) -> Self {
        loop {
            let port = free_pair();
            match keep(folder.path(), port) {
                Ok(keeper) => return Self { folder, port, keeper: Mutex::new(Some(keeper)) },
                // Somebody was faster.
                Err(log) => assert!(log.contains("Address already in use"), "swtpm does not start: {log}"),
            }
        }
    }

    /// What a configuration names.
    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=localhost,port={}", self.port)
    }

    /// Where it listens for commands, on 127.0.0.1. The control channel is at the next port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A folder for what a test keeps beside the TPM. It goes with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificates, PEM, of the authority of [`Self::with_ek_certificate`]: the one that issued, then its root.
    pub(crate) fn authority(&self) -> [PathBuf; 2] {
        let folder = self.folder.path().join("authority");
        ["issuercert.pem", "swtpm-localca-rootca-cert.pem"].map(|name| folder.join(name))
    }

    /// Runs one of tpm2-tools, which must end well. Gives its standard output.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        self.try_tool(program, arguments).unwrap_or_else(|said| panic!("{program} {arguments:?}: {said}"))
    }

    /// Runs one of tpm2-tools. Gives its standard output, or its standard error where it fails.
    pub(crate) fn try_tool(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program);
        run(self.apply(command.args(arguments).current_dir(self.folder())))
    }

    /// Lets a command find the TPM.
    pub(crate) fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("TPM2TOOLS_TCTI", self.tcti()).env("TPM2OPENSSL_TCTI", self.tcti()).env("TSS2_LOG", "all+NONE")
    }

    /// Removes every object that is loaded: tools leave theirs behind where no resource manager stands between, and
    /// there is room for three. It takes those of a program that is connected too.
    pub(crate) fn flush(&self) {
        self.tool("tpm2_flushcontext", &["--transient-object"]);
    }

    /// How many failed tries it counts towards a lockout.
    pub(crate) fn lockout_counter(&self) -> u32 {
        let said = self.tool("tpm2_getcap", &["properties-variable"]);
        let value = said.lines().find_map(|line| line.strip_prefix("TPM2_PT_LOCKOUT_COUNTER: 0x")).unwrap();
        u32::from_str_radix(value.trim(), 16).unwrap()
    }

    /// Extends a PCR with the SHA-256 of a text.
    pub(crate) fn extend(&self, pcr: u32, text: &str) {
        use sha2::{Digest as _, Sha256};
        let digest = hex::encode(Sha256::digest(text));
        self.tool("tpm2_pcrextend", &[&format!("{pcr}:sha256={digest}")]);
    }

    /// What is in a PCR of the SHA-256 bank, in hex.
    pub(crate) fn pcr(&self, index: u32) -> String {
        let said = self.tool("tpm2_pcrread", &[&format!("sha256:{index}")]);
        said.split_once("0x").unwrap().1.trim().to_lowercase()
    }

    /// Switches it off as a machine does that shuts down.
    pub(crate) fn stop(&self) {
        self.tool("tpm2_shutdown", &["--clear"]);
        self.kill();
    }

    /// Takes its power away. Nothing listens any more when this returns.
    pub(crate) fn kill(&self) {
        let keeper = self.keeper.lock().unwrap().take();
        end(keeper.expect("it is off"));
    }

    /// Switches it on again, where it was and with what it keeps. Its PCRs are those of a machine that starts.
    pub(crate) fn start(&self) {
        let mut keeper = self.keeper.lock().unwrap();
        assert!(keeper.is_none(), "it is on");
        *keeper = Some(keep(self.folder(), self.port).unwrap_or_else(|log| panic!("swtpm does not start: {log}")));
    }

    /// Puts another TPM in its place, which nobody has used. It may be on or off before, and is on after.
    pub(crate) fn wipe(&self) {
        if self.is_on() {
            self.kill();
        }
        fs::remove_dir_all(state(self.folder())).unwrap();
        fs::create_dir(state(self.folder())).unwrap();
        self.start();
    }

    pub(crate) fn is_on(&self) -> bool {
        self.keeper.lock().unwrap().is_some()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        if self.is_on() {
            self.kill();
        }
    }
}

fn new_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(state(folder.path())).unwrap();
    folder
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// A port that is free and whose successor is, so far.
pub(crate) fn free_pair() -> u16 {
    let random = || PORTS.start + (getrandom::u32().unwrap() % u32::from(PORTS.end - PORTS.start)) as u16;
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    std::iter::repeat_with(random).find(|&port| free(port) && free(port + 1)).unwrap()
}

/// Starts a swtpm and waits until it answers. Where it does not, gives what it wrote.
fn keep(folder: &Path, port: u16) -> Result<Child, String> {
    // Ours from the start: who answers there is our swtpm, and has its other port.
    let control =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).map_err(|e| format!("Address already in use: {e}"))?;
    let log = folder.join("log");
    let _ = fs::remove_file(&log);
    let mut shell = Command::new("sh");
    shell.args(["-c", KEEPER, "sh"]).arg(folder).args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
    shell.arg("--server").arg(format!("type=tcp,port={port}")).args(["--ctrl", "type=tcp,fd=2"]);
    shell.arg("--tpmstate").arg(format!("dir={}", state(folder).display()));
    shell.arg("--log").arg(format!("file={}", log.display()));
    let keeper = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(OwnedFd::from(control)).spawn().unwrap();
    // The command holds our copy of the listener.
    drop(shell);
    if answers(port + 1) {
        return Ok(keeper);
    }
    end(keeper);
    let missing = "there is no swtpm here, or it does not start at all: run ci/setup";
    Err(fs::read_to_string(&log).unwrap_or_else(|_| missing.to_owned()))
}

/// Asks a control channel for its capabilities. It has no answer where the swtpm ends before it serves.
fn answers(control: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, control))?;
        stream.write_all(&CAPABILITIES)?;
        stream.read_exact(&mut [0; 8])
    };
    ask().is_ok()
}

fn end(mut keeper: Child) {
    keeper.stdin.take().unwrap().write_all(b"end\n").unwrap();
    keeper.wait().unwrap();
}

/// Makes endorsement keys and their certificates, with an authority in this folder.
fn manufacture(folder: &Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    fs::create_dir(at("authority")).unwrap();
    let options = "--platform-manufacturer local-vault\n--platform-version 1\n--platform-model tests\n";
    fs::write(at("localca.options"), options).unwrap();
    let authority = at("authority");
    let config = format!(
        "statedir = {authority}\nsigningkey = {authority}/signkey.pem\nissuercert = {authority}/issuercert.pem\n\
         certserial = {authority}/certserial\n"
    );
    fs::write(at("localca.conf"), config).unwrap();
    let config = format!(
        "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\ncreate_certs_tool_options = {}\n",
        at("localca.conf"),
        at("localca.options")
    );
    fs::write(at("setup.conf"), config).unwrap();
    let mut setup = Command::new("swtpm_setup");
    setup.args(["--tpm2", "--create-ek-cert", "--pcr-banks", "sha1,sha256,sha384,sha512"]);
    setup.arg("--tpmstate").arg(state(folder)).arg("--config").arg(at("setup.conf")).arg("--logfile").arg(at("log"));
    if rustix::process::geteuid().is_root() {
        // Else it becomes a user who cannot read this folder.
        setup.args(["--runas", "root"]);
    }
    run(&mut setup).unwrap_or_else(|said| panic!("swtpm_setup: {said}"));
}

fn run(command: &mut Command) -> Result<String, String> {
    let done = match command.stdin(Stdio::null()).output() {
        Ok(done) => done,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("there is no {:?} here: run ci/setup", command.get_program())
        }
        Err(e) => panic!("{:?}: {e}", command.get_program()),
    };
    let [out, err] = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    if done.status.success() { Ok(out) } else { Err(err) }
}
