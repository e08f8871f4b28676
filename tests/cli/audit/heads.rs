use std::fs;

use super::super::support::Sandbox;
use super::super::vault::{Vault, names};
use super::{FOLDER, copy, number, verified};

/// A vault whose heads go to a sandbox, which has acknowledged some.
fn attested() -> (Vault, Sandbox) {
    let (vault, sandbox) = Vault::with_sandbox();
    vault.configure("[audit]\nstream_id = \"str_audit\"");
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    (vault, sandbox)
}

#[test]
fn heads_are_relayed_where_a_stream_is_named_and_compared_from_then_on() {
    let (vault, _sandbox) = attested();
    let heads = vault.json(&["spool", "list", "--json", "--state", "receipted", "--stream-id", "str_audit"]);
    assert!(!heads.is_empty());
    let told = verified(&vault);
    assert_eq!(number(&told, "heldByOthers"), heads.len() as i64);
    let log_id = told.get_str("logId").unwrap();
    assert!(heads.iter().all(|head| head.get_str("sourceRef").unwrap().starts_with(&format!("audit:{log_id}:"))));
    // What was sent is the head as it stands in the log, signature included.
    let id = heads[0].get_str("eventId").unwrap();
    let shown = vault.ok(&["spool", "show", id, "--payload"]);
    let payload = shown.lines().find_map(|line| line.strip_prefix("payload ")).unwrap().trim_start();
    let payload = super::objects(payload).remove(0);
    assert_eq!(
        names(&payload),
        ["alg", "event_type", "head_hash", "head_seq", "kid", "log_id", "public_key_hex", "signature_hex", "signed_at"]
    );
}

#[test]
fn a_log_that_was_replaced_by_an_older_copy_of_itself_is_found_by_the_heads_that_the_platform_holds() {
    let (vault, _sandbox) = attested();
    copy(vault.path(FOLDER), vault.path("older"));
    vault.ok(&["spool", "rotate"]);
    vault.ok(&["relay", "drain"]);
    verified(&vault);
    fs::remove_dir_all(vault.path(FOLDER)).unwrap();
    fs::rename(vault.path("older"), vault.path(FOLDER)).unwrap();
    let done = vault.run(&["audit", "verify"]);
    assert!(
        done.code == Some(65) && done.err.contains("the log ends here, and somebody else holds its entry"),
        "{done:?}"
    );
    // Nothing but those heads shows it.
    let path = vault.shown(FOLDER);
    assert_eq!(vault.run(&["audit", "verify", "--path", &path]).code, Some(0));

    // The way out: what lies there is moved away by hand, which is missed, and recovered from.
    fs::rename(vault.path(FOLDER), vault.path("rolled-back")).unwrap();
    vault.ok(&["audit", "recover", "--reason", "somebody put an old copy back"]);
    let done = vault.run(&["audit", "verify"]);
    assert!(done.code == Some(0) && done.err.contains("Others hold heads of log_"), "{done:?}");
}

#[test]
fn a_log_that_was_begun_anew_without_a_word_is_found_too() {
    let (vault, _sandbox) = attested();
    let log_id = verified(&vault).get_str("logId").unwrap().to_owned();
    fs::remove_dir_all(vault.path(FOLDER)).unwrap();
    fs::remove_file(vault.path("spool.sqlite3.audit.id")).unwrap();
    vault.ok(&["spool", "rotate"]);
    let done = vault.run(&["audit", "verify"]);
    assert!(done.code == Some(65) && done.err.contains(&format!("somebody else holds heads of {log_id}")), "{done:?}");
}

#[test]
fn without_a_stream_nothing_is_relayed_but_what_was_spooled() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    assert_eq!(vault.json(&["spool", "list", "--json"]).len(), 1);
}
