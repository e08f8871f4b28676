use std::fs;
use std::io::{BufRead as _, BufReader};

use local_vault::protocol::json::{self, Value};

use super::place::sandbox;
use super::process::{Running, Vault};

/// The most memory that a process ever had resident, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_answer_of_2_gib_costs_no_memory() {
    let sandbox = sandbox(&["--behave", "huge"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let mut relay = Running::start(&mut vault.command(&["drain-loop", "--idle-sleep-seconds", "100000"]));
    let mut line = String::new();
    BufReader::new(relay.child().stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let line = json::parse(line.as_bytes()).unwrap();
    assert_eq!(line.get("error"), Some(&Value::from("IncompleteRead")));
    let peak = peak(relay.child().id());
    println!("peak resident memory: {peak} KiB");
    assert!(peak < 60 * 1024, "{peak} KiB");
    assert_eq!(relay.terminate().status.code(), Some(0));
}
