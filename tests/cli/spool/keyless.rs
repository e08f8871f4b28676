use std::fs;

use crate::vault::Vault;

#[test]
fn what_an_operator_does_needs_no_key_and_is_recorded_first() {
    let (vault, _sandbox) = Vault::with_sandbox_that(&["reject:1"]);
    let dead = vault.enqueue("s", "1", "{}");
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    vault.enqueue("s", "2", "{}");
    for key in ["encryption.key", "relay.key", "source.key", "witness.key"] {
        fs::remove_file(vault.path(key)).unwrap();
    }
    let commands: [&[&str]; 11] = [
        &["spool", "dead-letters"],
        &["spool", "retry", &dead],
        &["spool", "purge", "--older-than", "30d", "--yes"],
        &["spool", "export"],
        &["spool", "stats"],
        &["relay", "pause"],
        &["relay", "resume"],
        &["maintenance", "on"],
        &["maintenance", "off"],
        &["relay", "revoke", "--local"],
        &["relay", "status"],
    ];
    for command in commands {
        vault.ok(command);
    }
    let log = vault.ok(&["audit", "show", "--kind", "CommandBegun", "--format", "jsonl"]);
    for recorded in ["spool retry", "spool purge", "relay pause", "relay resume", "relay revoke"] {
        assert!(log.contains(&format!("\"command\":\"{recorded}\"")), "{recorded}: {log}");
    }
    // Nothing is shown, sent or damaged without one.
    assert_eq!(vault.run(&["spool", "verify"]).code, Some(78));
    assert_eq!(vault.run(&["spool", "export", "--payload"]).code, Some(78));
}

#[test]
fn nothing_is_changed_that_cannot_be_recorded() {
    let (vault, _sandbox) = Vault::with_sandbox_that(&["reject:1"]);
    let dead = vault.enqueue("s", "1", "{}");
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    // A log that is gone takes nothing.
    fs::rename(vault.path("spool.sqlite3.audit"), vault.path("elsewhere")).unwrap();
    let commands: [&[&str]; 4] = [
        &["spool", "retry", &dead],
        &["spool", "purge", "--older-than", "0s", "--dead", "--yes"],
        &["spool", "release", "s", "--reason", "x"],
        &["spool", "verify", "--quarantine"],
    ];
    for command in commands {
        assert_eq!(vault.run(command).code, Some(65), "{command:?}");
    }
    fs::remove_dir_all(vault.path("spool.sqlite3.audit")).unwrap();
    fs::rename(vault.path("elsewhere"), vault.path("spool.sqlite3.audit")).unwrap();
    let letter = vault.json(&["spool", "dead-letters", "--json"]).remove(0);
    assert_eq!(letter.get("hasContent"), Some(&true.into()));
}
