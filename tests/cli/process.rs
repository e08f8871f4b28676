use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::vault::Vault;

/// A `drain-loop` that goes on until the test ends.
struct Loop(Child);

impl Loop {
    /// Starts it, and waits for its first line: it has its role, its keys and its spool then.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"sent\": false"), "{line}");
        Self(child)
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_relay_on_one_spool_is_75_and_a_second_writer_is_welcome() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let _running = Loop::start(&mut vault.command(&["drain-loop"]));
    vault.run(&["relay", "drain"]).fails(
        75,
        &[
            &format!("Error: {} is in use by another process.", vault.shown("spool.sqlite3")),
            "Try again, or stop the other local-vault.",
        ],
    );
    // The published package has one code for everything.
    assert_eq!(vault.run(&["drain-once"]).code, Some(1));
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
}

#[test]
fn a_running_relay_leaves_no_core_dump_and_shows_its_memory_to_nobody() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let mut command = vault.command(&["drain-loop"]);
    if rustix::process::geteuid().is_root() {
        // What root owns is root's, whether it may be dumped or not: somebody else has to run it.
        command = as_nobody(&vault, &command);
    }
    let running = Loop::start(&mut command);
    let limits = fs::read_to_string(running.file("limits")).unwrap();
    let core: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    // proc(5): the files of a process that is not dumpable belong to root.
    let status = fs::read_to_string(running.file("status")).unwrap();
    assert!(!status.contains("\nUid:\t0\t"), "{status}");
    assert_eq!(fs::metadata(running.file("environ")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(running.file("mem")).unwrap().uid(), 0);
}

const NOBODY: u32 = 65534;

/// The command on a copy of itself in the vault, all of which is given to another user.
fn as_nobody(vault: &Vault, command: &Command) -> Command {
    fs::copy(command.get_program(), vault.path("local-vault")).unwrap();
    fs::set_permissions(vault.path("local-vault"), Permissions::from_mode(0o755)).unwrap();
    let ca = vault.path("ca.pem");
    let config = fs::read_to_string(vault.path("local-vault.toml")).unwrap();
    let trusted = config.lines().find_map(|line| line.strip_prefix("ca_file = ")).unwrap().trim_matches('"').to_owned();
    fs::copy(&trusted, &ca).unwrap();
    vault.reconfigure(&trusted, "ca.pem");
    for entry in fs::read_dir(vault.path("")).unwrap() {
        give(&entry.unwrap().path());
    }
    give(&vault.path(""));
    let mut copy = Command::new(vault.path("local-vault"));
    copy.args(command.get_args()).current_dir(vault.path("")).env_clear();
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    copy.uid(NOBODY).gid(NOBODY);
    copy
}

fn give(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}
