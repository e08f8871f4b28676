use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use local_vault::audit::{Audit, AuditConfig, Event};
use local_vault::custody::file::RootKey;
use local_vault::custody::{Purpose, PurposeKey, WrappingKey as _};
use local_vault::facts::{Clock, Timestamp};

use super::super::vault::{Vault, objects, seed};
use super::{FOLDER, entries, first_file, flip, kind, number, verified};

/// A clock that goes on by a minute at each look, from years ago.
#[derive(Debug)]
struct OldClock(AtomicI64);

impl Clock for OldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.fetch_add(60_000, Ordering::SeqCst))
    }
}

/// A vault whose log has many small files, written in 2024.
fn with_old_files() -> Vault {
    let vault = Vault::new();
    let root = RootKey::new(&mut seed("encryption").as_bytes().to_owned());
    let record = PurposeKey::bind(Purpose::Record, root.key_id(), Arc::new(root.record_key())).unwrap();
    let audit = Audit::open(AuditConfig {
        folder: vault.path(FOLDER),
        longest_file: 1000,
        record: Some(record),
        clock: Arc::new(OldClock(AtomicI64::new(1_704_067_200_000))),
    });
    let audit = audit.unwrap();
    for epoch in 1..10 {
        audit.record_blocking(vec![Event::epoch_rotated(epoch)]).unwrap();
    }
    vault
}

fn files(vault: &Vault) -> usize {
    let names = fs::read_dir(vault.path(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".jsonl")).count()
}

#[test]
fn pruning_takes_old_files_away_and_what_is_left_verifies() {
    let vault = with_old_files();
    let (before, exported) = (files(&vault), vault.ok(&["audit", "export"]));
    assert!(before > 4, "{before} files");
    let asked = vault.run(&["audit", "prune", "--before", "365d"]);
    assert_eq!(asked.code, Some(64));
    assert!(
        asked.err.contains(&format!("{} files of the audit log, with the entries up to ", before - 1)),
        "{asked:?}"
    );
    assert_eq!(files(&vault), before);

    vault.ok(&["audit", "prune", "--before", "365d", "--yes"]);
    assert_eq!(files(&vault), 1);
    let told = verified(&vault);
    let entries = entries(&vault);
    assert_eq!((kind(&entries[0]), number(&entries[0], "seq")), ("FileBegun", number(&told, "first")));
    let pruned = entries.iter().find(|entry| kind(entry) == "LogPruned").unwrap();
    assert_eq!(number(pruned, "through") + 1, number(&told, "first"));
    assert!(exported.lines().count() as i64 > number(pruned, "through"));
    let text = vault.run(&["audit", "verify"]);
    assert!(text.err.starts_with(&format!("The entries before {} were pruned", number(&told, "first"))), "{text:?}");
}

#[test]
fn a_part_is_pruned_by_time() {
    let vault = with_old_files();
    let before = files(&vault);
    vault.ok(&["audit", "prune", "--before", "2024-01-01T00:15:00Z", "--yes"]);
    assert!((2..before).contains(&files(&vault)));
    assert!(number(&verified(&vault), "first") > 1);
    let nothing = vault.ok(&["audit", "prune", "--before", "2023-01-01T00:00:00Z", "--yes"]);
    assert!(nothing.starts_with("nothing to prune"), "{nothing}");
}

#[test]
fn files_that_somebody_took_away_by_hand_are_missed() {
    let vault = with_old_files();
    fs::remove_file(first_file(&vault)).unwrap();
    let done = vault.run(&["audit", "verify"]);
    assert!(done.code == Some(65) && done.err.contains("no signed entry says that they were pruned"), "{done:?}");
}

#[test]
fn what_cannot_be_signed_for_is_not_pruned() {
    let vault = with_old_files();
    let before = files(&vault);
    fs::remove_file(vault.path("encryption.key")).unwrap();
    assert_ne!(vault.run(&["audit", "prune", "--before", "365d", "--yes"]).code, Some(0));
    // What the command wrote may have begun another one.
    assert!(files(&vault) >= before);
    assert!(first_file(&vault).exists());
}

#[test]
fn the_last_entries_are_found_over_many_files() {
    let vault = with_old_files();
    let all = vault.ok(&["audit", "show"]);
    for last in [1, 3, 7, 15] {
        let shown = vault.ok(&["audit", "show", "--last", &last.to_string()]);
        assert_eq!(shown.lines().count(), last);
        assert!(all.ends_with(&shown), "{shown}");
    }
    assert_eq!(vault.ok(&["audit", "show", "--kind", "LogBegun", "--last", "5"]).lines().count(), 1);
}

#[test]
fn a_damaged_log_is_put_aside_as_it_is_and_a_new_one_names_it() {
    let vault = Vault::with_an_event();
    let log_id = verified(&vault).get_str("logId").unwrap().to_owned();
    let head = vault.ok(&["audit", "head"]);
    flip(&vault, 2);
    let damaged = fs::read(first_file(&vault)).unwrap();
    let told = vault.ok(&["audit", "recover", "--reason", "a test changed it"]);
    let kept = told.lines().next().unwrap().strip_prefix("what was there of the old log lies in ").unwrap();
    assert_eq!(fs::read(format!("{kept}/00000001.jsonl")).unwrap(), damaged);

    let entries = entries(&vault);
    let kinds: Vec<&str> = entries.iter().map(kind).collect();
    assert_eq!(kinds, ["LogBegun", "CommandBegun", "CommandEnded", "HeadSigned"]);
    let after = entries[0].get_object("after").unwrap();
    assert_eq!(after.get_str("log_id"), Some(log_id.as_str()));
    assert_eq!((after.get_str("reason"), number(after, "found_seq")), (Some("a test changed it"), 2));
    assert_eq!(entries[1].get_str("command"), Some("audit recover"));
    assert_eq!(number(&entries[1], "uid"), i64::from(rustix::process::getuid().as_raw()));
    vault.ok(&["spool", "rotate"]);

    // A head of the one before belongs to the story, over as many recoveries as there were.
    flip(&vault, 2);
    vault.ok(&["audit", "recover", "--reason", "again"]);
    let held = &objects(&vault.ok(&["audit", "verify", "--json", "--head", head.trim_end()]))[0];
    assert_eq!(held.get("replaced").unwrap().to_python_text(), format!("[\"{log_id}\"]"));
}

#[test]
fn a_log_that_is_gone_is_recovered_too() {
    let vault = Vault::with_an_event();
    fs::remove_dir_all(vault.path(FOLDER)).unwrap();
    vault.ok(&["audit", "recover", "--reason", "somebody deleted it"]);
    assert_eq!(kind(&entries(&vault)[0]), "LogBegun");
    vault.ok(&["spool", "rotate"]);
}

#[test]
fn a_sound_log_is_not_recovered() {
    let vault = Vault::with_an_event();
    let before = fs::read(first_file(&vault)).unwrap();
    vault
        .run(&["audit", "recover", "--reason", "x"])
        .fails(77, &["Error: the audit log is not damaged.", "Nothing was done. Where it is an older copy of itself, or others signed it, move the folder away, then try again."]);
    for reason in ["", " ", &"x".repeat(1001)] {
        assert_eq!(vault.run(&["audit", "recover", "--reason", reason]).code, Some(64));
    }
    assert_eq!(fs::read(first_file(&vault)).unwrap(), before);
}
