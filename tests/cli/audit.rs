//! The audit log as an operator meets it.

mod doubt;
mod export;
mod follow;
mod heads;
mod look;
mod maintain;
mod recorded;
mod refused;
mod several;

use std::fs;
use std::path::PathBuf;

use local_vault::protocol::json::{Object, Value};

use super::vault::{Vault, objects};

/// The folder of the log, where none is configured.
const FOLDER: &str = "spool.sqlite3.audit";

/// The log's first file.
fn first_file(vault: &Vault) -> PathBuf {
    vault.path(FOLDER).join("00000001.jsonl")
}

/// The lines of its first file, without their ends.
fn lines(vault: &Vault) -> Vec<String> {
    fs::read_to_string(first_file(vault)).unwrap().lines().map(str::to_owned).collect()
}

/// Every entry.
fn entries(vault: &Vault) -> Vec<Object> {
    let shown = objects(&vault.ok(&["audit", "show", "--format", "jsonl"]));
    shown.iter().map(|line| line.get_object("entry").unwrap().clone()).collect()
}

fn kind(entry: &Object) -> &str {
    entry.get_str("kind").unwrap()
}

fn number(entry: &Object, member: &str) -> i64 {
    entry.get(member).and_then(Value::as_i64).unwrap()
}

/// Changes one bit of an entry's line, by the entry's number.
fn flip(vault: &Vault, seq: usize) {
    let mut lines = lines(vault);
    lines[seq - 1] = lines[seq - 1].replacen("\"pid\":", "\"piD\":", 1);
    fs::write(first_file(vault), lines.join("\n") + "\n").unwrap();
}

/// What `audit verify --json` says of a log that verifies.
fn verified(vault: &Vault) -> Object {
    vault.json(&["audit", "verify", "--json"]).remove(0)
}

/// Copies a folder of plain files.
fn copy(from: PathBuf, to: PathBuf) {
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
