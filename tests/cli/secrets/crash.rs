use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::super::vault::Vault;
use super::{MARKER, no_file_has_a_secret, secret_in};

/// A relay at the most talkative level, whose event is signed and on its way, and what it has said by then.
fn sending(vault: &Vault) -> (Child, BufReader<ChildStderr>, String) {
    let command = vault.command(&["--log", "trace", "drain-loop"]);
    // As much core as this machine allows, so that it is the process itself that wants none.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c $(ulimit -H -c); exec \"$0\" \"$@\""]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(vault.path("")).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut log, mut said) = (BufReader::new(child.stderr.take().unwrap()), String::new());
    while !said.ends_with(": signed\n") {
        assert_ne!(log.read_line(&mut said).unwrap(), 0, "it ended: {said}");
    }
    (child, log, said)
}

/// Rust's own handler takes the first SIGSEGV that is no fault of the stack and gives the signal back: the next ends it.
fn crash(child: &mut Child, signal: Signal) -> ExitStatus {
    loop {
        kill_process(Pid::from_child(child), signal).unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_relay_that_crashes_leaves_no_core_and_no_secret() {
    for signal in [Signal::SEGV, Signal::ABORT] {
        let (vault, sandbox) = Vault::with_sandbox();
        vault.write("p.json", format!("{{\"text\":\"{MARKER}\"}}"));
        vault.ok(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"]);
        sandbox.behave("stall", None).await;
        let (mut child, mut log, mut said) = sending(&vault);
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"]);
        let status = crash(&mut child, signal);
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false));
        log.read_to_string(&mut said).unwrap();
        assert_eq!(secret_in(said.as_bytes()), None, "{said}");
        assert_eq!(cores(&vault.path("")), [""; 0]);
        assert!(no_file_has_a_secret(&vault) >= 4);
    }
}

/// What looks like a core file, by its name.
fn cores(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("core")).collect()
}
