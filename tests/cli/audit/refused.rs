use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::small_disk::SmallDisk;
use super::super::vault::Vault;
use super::{FOLDER, first_file, flip, lines, verified};

/// What changes something, and where.
const GIVEN: [&[&str]; 5] =
    [&["spool", "rotate"], &["attest", "a"], &["relay", "pause"], &["relay", "resume"], &["relay", "drain"]];

/// Each command is refused with this code and changes nothing; what only looks works all the same.
#[track_caller]
fn refuses_everything(vault: &Vault, code: i32) {
    let spool = || (fs::read(vault.path("spool.sqlite3")).unwrap(), fs::read(vault.path("spool.sqlite3-wal")).ok());
    let before = spool();
    vault.write("a", "another content");
    for words in GIVEN {
        let done = vault.run(words);
        assert_eq!(done.code, Some(code), "{words:?} {done:?}");
        assert!(done.err.contains("audit log") && done.err.contains("Nothing was done"), "{words:?} {done:?}");
    }
    // The published package has one code for everything.
    assert_eq!(vault.run(&["drain-once"]).code, Some(1));
    assert!(before == spool(), "the spool was changed");
    for words in [["custody", "report"], ["spool", "list"], ["relay", "status"]] {
        vault.ok(&words);
    }
}

#[test]
fn nothing_is_done_where_the_end_of_the_log_was_changed() {
    let vault = Vault::with_an_event();
    flip(&vault, lines(&vault).len());
    refuses_everything(&vault, 65);
}

#[test]
fn nothing_is_done_where_the_log_was_cut() {
    let vault = Vault::with_an_event();
    let lines = lines(&vault);
    fs::write(first_file(&vault), lines[..lines.len() - 2].join("\n") + "\n").unwrap();
    refuses_everything(&vault, 65);
}

#[test]
fn nothing_is_done_where_the_log_is_gone() {
    let vault = Vault::with_an_event();
    fs::remove_file(first_file(&vault)).unwrap();
    refuses_everything(&vault, 65);
    let vault = Vault::with_an_event();
    fs::remove_dir_all(vault.path(FOLDER)).unwrap();
    refuses_everything(&vault, 65);
}

#[test]
fn nothing_is_done_where_the_log_cannot_be_written() {
    let vault = Vault::with_an_event();
    let lock = vault.path(FOLDER).join("lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    refuses_everything(&vault, 74);
    // That says nothing about what is in it.
    verified(&vault);
    fs::remove_dir(&lock).unwrap();
    vault.ok(&["spool", "rotate"]);
}

#[test]
fn nothing_is_done_on_a_disk_that_takes_no_writes() {
    let vault = Vault::new();
    let folder = vault.path("disk");
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    vault.configure("[audit]\npath = \"disk/audit\"");
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    disk.make_read_only();
    refuses_everything(&vault, 74);
    verified(&vault);
}

#[test]
fn nothing_is_done_where_there_is_no_room_for_the_record_and_everything_goes_on_once_there_is() {
    let vault = Vault::new();
    let folder = vault.path("disk");
    let Some(_disk) = SmallDisk::mount(&folder) else { return };
    vault.configure("[audit]\npath = \"disk/audit\"");
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    // The file system gives whole pages: what is left of the log's last one takes a few entries more.
    assert!(fs::write(folder.join("filler"), vec![0; 1 << 20]).is_err());
    let is_full = (0..40).any(|_| vault.run(&["relay", "pause"]).code == Some(75));
    assert!(is_full, "the disk was never full");
    refuses_everything(&vault, 75);
    verified(&vault);
    fs::remove_file(folder.join("filler")).unwrap();
    vault.ok(&["relay", "resume"]);
    vault.ok(&["spool", "rotate"]);
    verified(&vault);
}

#[test]
fn the_log_is_for_its_owner_alone() {
    let vault = Vault::with_an_event();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(vault.path(FOLDER)), 0o700);
    assert_eq!(mode(first_file(&vault)), 0o600);
    assert_eq!(mode(vault.path("spool.sqlite3.audit.id")), 0o600);
}
