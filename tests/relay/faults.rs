//! The unmodified binary while its system calls fail, through strace: one call a run, with EIO, with ENOSPC, or as the
//! last that the process does.

#![allow(clippy::print_stdout)] // how many

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use local_vault::protocol::json;
use local_vault::spool::State;

use super::custody::is_only_for_files;
use super::place::sandbox;
use super::process::{Running, Vault, said};
use super::support::{Sandbox, wait_until};

/// The calls that change what is on the disk or say that it holds, and those that read it. Memory is mapped for the
/// index of the log alone.
const CALLS: [&str; 10] =
    ["fdatasync", "flock", "fsync", "ftruncate", "openat", "pread64", "pwrite64", "rename", "unlink", "write"];
const ENDS: [&str; 3] = ["error=EIO", "error=ENOSPC", KILLED];
const KILLED: &str = "signal=KILL";
/// As a shell tells of it.
const KILL: i32 = 128 + 9;

/// Which call of its kind fails. With `LOCAL_VAULT_ALL_FAULTS=1` each one.
fn places() -> Vec<usize> {
    if env::var_os("LOCAL_VAULT_ALL_FAULTS").is_some() { (1..=120).collect() } else { vec![1, 2, 3, 7, 20] }
}

/// Whether this user may trace its own processes. Where it may not, the run says so, for `ci/test` to tell.
fn may_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let may = traced.expect("strace is installed (ci/setup installs it)").success();
    if !may {
        let thread = std::thread::current();
        println!("not run over strace: {}: this user may trace no process", thread.name().unwrap());
    }
    may
}

/// What a run under a fault came to.
#[derive(Debug)]
struct Count {
    hit: usize,
    /// Whether the last run came to the call.
    last: bool,
    codes: BTreeMap<i32, usize>,
}

impl Count {
    const fn new() -> Self {
        Self { hit: 0, last: false, codes: BTreeMap::new() }
    }
}

/// A call that fails in one run of a command.
#[derive(Debug, Clone, Copy)]
struct Fault {
    call: &'static str,
    end: &'static str,
    nth: usize,
}

#[test]
fn whichever_system_call_fails_nothing_that_was_answered_for_is_lost() {
    if is_only_for_files("a device has system calls of its own") || !may_trace() {
        return;
    }
    let sandbox = sandbox(&[]);
    let mut counts = [const { Count::new() }; 3];
    for call in CALLS {
        for end in ENDS {
            for nth in places() {
                let fault = Fault { call, end, nth };
                if !one(&sandbox, fault, &mut counts) {
                    // There are not so many calls of this kind.
                    break;
                }
            }
        }
    }
    let [enqueues, drains, published] = counts;
    println!("enqueue-json: {enqueues:?}\nrelay drain: {drains:?}\ndrain-once: {published:?}\nnothing lost");
    assert!(enqueues.hit > 50 && drains.hit > 50);
}

/// What the kernel has of a log that did not sync goes with the power. Before the next process rests on it, it is
/// written once more.
#[test]
fn a_log_that_did_not_sync_is_written_again_by_the_next_process() {
    if is_only_for_files("a device has system calls of its own") || !may_trace() {
        return;
    }
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let (wal, trace) = (beside(&vault, "-wal"), vault.folder().join("trace"));
    let enqueue = |inject: &[&str]| {
        let words = ["enqueue-json", "--stream-id", "s", "--source-ref", "2", "--payload-file", "payload.json"];
        let enqueuer = vault.enqueuer(&words);
        let mut traced = Command::new("strace");
        traced
            .args(["-f", "-qq", "-e", "trace=fsync,pwrite64,unlink", "-o"])
            .arg(&trace)
            .arg("-P")
            .arg(&wal)
            .args(inject);
        run_in(&mut traced, &enqueuer, &vault).output().unwrap()
    };
    // The first sync is that of the log's header, the second that of the commit. The end comes before the process can
    // put the log away.
    let injected = ["-e", "inject=fsync:error=EIO:when=2", "-e", "inject=unlink:signal=KILL:when=1"];
    let failed = enqueue(&injected);
    assert_eq!(failed.status.signal(), Some(9), "{}", said(&failed));
    let left = fs::metadata(&wal).unwrap().len();
    assert!(beside(&vault, ".doubt").exists() && left > 4096);
    let again = enqueue(&[]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    let calls = fs::read_to_string(&trace).unwrap();
    let mut calls = calls.lines();
    let written = calls.next().unwrap();
    assert!(written.contains("pwrite64") && written.ends_with(&format!(", {left}, 0) = {left}")), "{written}");
    assert!(calls.next().unwrap().contains("fsync"), "{calls:?}");
    assert!(!beside(&vault, ".doubt").exists());
}

/// A spool of its own: an event is enqueued and sent while a call fails, and again while none does. False where no
/// command has come to the call.
fn one(sandbox: &Sandbox, fault: Fault, [enqueues, drains, published]: &mut [Count; 3]) -> bool {
    let vault = Vault::new(sandbox);
    let source_ref = format!("{}-{}-{}", fault.call, fault.end, fault.nth);
    let payload = vault.folder().join("payload.json");
    fs::write(&payload, format!(r#"{{"of":"{source_ref}"}}"#)).unwrap();
    let words = ["enqueue-json", "--stream-id", "s", "--source-ref", &source_ref, "--payload-file", "payload.json"];

    let faulted = under(&vault, fault, &vault.enqueuer(&words), &[0, 1], enqueues);
    let again = vault.enqueuer(&words).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{fault:?}: {}, and before: {}", said(&again), said(&faulted));
    if faulted.status.code() == Some(0) {
        assert_eq!(event_id(&faulted), event_id(&again), "{fault:?}: an acknowledged event is lost");
    }
    let drain = ["relay", "drain"];
    // SQLite takes a disk that does not read for one that has lost what was there: 65.
    let drained = under(&vault, fault, &vault.command(&drain), &[0, 65, 74, 75], drains);
    if drained.status.code() != Some(0) {
        under(&vault, fault, &vault.command(&["drain-once"]), &[0, 1], published);
    }
    let drained = vault.run(&drain);
    assert_eq!(drained.status.code(), Some(0), "{fault:?}: {}", said(&drained));
    let events = vault.events();
    assert_eq!(events.len(), 1, "{fault:?}");
    assert_eq!((events[0].event_id.to_string(), events[0].state), (event_id(&again), State::Receipted), "{fault:?}");
    // Where neither came to it, there is none.
    enqueues.last || drains.last
}

fn event_id(enqueued: &Output) -> String {
    json::parse(&enqueued.stdout).unwrap().get_str("eventId").unwrap().to_owned()
}

/// Runs a command while a call on one of the vault's own files fails. It ends with one of these codes, or killed where
/// it was; never by another signal, and never never.
fn under(vault: &Vault, fault: Fault, command: &Command, codes: &[i32], count: &mut Count) -> Output {
    let Fault { call, end, nth } = fault;
    let log = vault.folder().join("strace.log");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o"]).arg(&log).args(["-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:{end}:when={nth}")]);
    for path in files(vault) {
        traced.arg("-P").arg(path);
    }
    let mut running = Running::start(run_in(&mut traced, command, vault));
    wait_until(|| running.child().try_wait().unwrap());
    let output = running.wait();
    count.last = fs::read_to_string(&log).unwrap().contains("INJECTED") || end == KILLED && !output.status.success();
    count.hit += usize::from(count.last);
    let killed = (end == KILLED && output.status.signal() == Some(9)).then_some(KILL);
    let code = killed.or_else(|| output.status.code().filter(|code| codes.contains(code)));
    let code = code.unwrap_or_else(|| panic!("{fault:?}: {}, {}", output.status, said(&output)));
    *count.codes.entry(code).or_default() += 1;
    output
}

/// A tracer, with the command that it runs.
fn run_in<'a>(tracer: &'a mut Command, command: &Command, vault: &Vault) -> &'a mut Command {
    tracer.arg(command.get_program()).args(command.get_args()).current_dir(vault.folder()).env_clear();
    tracer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    tracer.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// What the vault's commands have on the disk. Strace knows a file by its name.
fn files(vault: &Vault) -> Vec<PathBuf> {
    let endings = ["", "-wal", "-shm", "-journal", ".draft", ".doubt", ".setup-lock", ".relay-lock", ".audit.id"];
    let mut files: Vec<_> = endings.iter().map(|ending| beside(vault, ending)).collect();
    let audit = beside(vault, ".audit");
    files.extend(["00000001.jsonl", "end", "lock"].map(|file| audit.join(file)));
    files.extend([audit, vault.folder().to_owned()]);
    files
}

fn beside(vault: &Vault, ending: &str) -> PathBuf {
    let mut name = OsString::from(vault.spool());
    name.push(ending);
    name.into()
}
