use std::process::Stdio;

use super::super::vault::{Done, Vault};
use super::{entries, kind, number, verified};

#[test]
fn processes_that_write_at_once_make_one_chain() {
    const PROCESSES: usize = 4;
    let vault = Vault::with_an_event();
    for process in 0..PROCESSES {
        for n in 0..20 {
            vault.write(format!("{process}/{n}"), format!("{process} {n}"));
        }
    }
    let start = |process: usize| {
        let mut command = vault.command(&["attest", &process.to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..PROCESSES).map(start).collect();
    let pids: Vec<i64> = running.iter().map(|child| i64::from(child.id())).collect();
    for child in running {
        Done::from(child.wait_with_output().unwrap()).ok();
    }
    let entries = entries(&vault);
    assert!(entries.iter().zip(1..).all(|(entry, seq)| number(entry, "seq") == seq));
    for pid in pids {
        let kinds: Vec<&str> = entries.iter().filter(|entry| number(entry, "pid") == pid).map(kind).collect();
        let blobs =
            |entry: &&local_vault::protocol::json::Object| kind(entry) == "BlobWritten" && number(entry, "pid") == pid;
        let written: i64 = entries.iter().filter(blobs).map(|entry| number(entry, "blobs")).sum();
        assert_eq!((kinds.first(), written), (Some(&"CommandBegun"), 20), "{kinds:?}");
        assert!(kinds.contains(&"CommandEnded"));
    }
    verified(&vault);
}
