use std::process::Stdio;

use local_vault::protocol::json::{Object, Value};

use crate::support::Sandbox;
use crate::vault::Vault;

fn number(object: &Object, member: &str) -> Option<i64> {
    object.get(member).and_then(Value::as_i64)
}

/// Three events of one stream and one of another; nobody has touched them.
fn spooled() -> (Vault, Sandbox, Vec<String>) {
    let (vault, sandbox) = Vault::with_sandbox();
    let ids = [("s", "1"), ("s", "2"), ("s", "3"), ("t", "4")].map(|(stream, n)| vault.enqueue(stream, n, "{}"));
    (vault, sandbox, ids.to_vec())
}

fn damage(vault: &Vault, seq: u32) {
    let changed = vault.spool().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = ?1", [seq]).unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn a_spool_that_nobody_touched_verifies_with_its_counts() {
    let (vault, _sandbox, _) = spooled();
    vault.ok(&["relay", "drain"]);
    vault.enqueue("s", "5", "{}");
    for more in [&[][..], &["--pages"], &["--quarantine"]] {
        let done = vault.ok(&[&["spool", "verify"], more].concat());
        assert_eq!(done, "5 events verified, 0 damaged, 0 set aside\n");
    }
    let whole = vault.json(&["spool", "verify", "--json"]).remove(0);
    assert_eq!((whole.get("verified"), number(&whole, "events")), (Some(&true.into()), Some(5)));
}

#[test]
fn a_spool_is_verified_beside_a_relay_that_works_on_it() {
    let (vault, _sandbox, _) = spooled();
    let mut command = vault.command(&["drain-loop", "--idle-sleep-seconds", "0.01"]);
    let mut relay = command.stdout(Stdio::null()).spawn().unwrap();
    for n in 5..12 {
        vault.enqueue("s", &n.to_string(), "{}");
        let done = vault.run(&["spool", "verify"]);
        assert!(done.code == Some(0) && done.out.ends_with(" events verified, 0 damaged, 0 set aside\n"), "{done:?}");
    }
    relay.kill().unwrap();
    relay.wait().unwrap();
    assert!(vault.ok(&["spool", "verify"]).starts_with("11 events verified"));
}

#[test]
fn what_is_damaged_is_named_and_nothing_is_changed() {
    let (vault, _sandbox, ids) = spooled();
    damage(&vault, 2);
    let done = vault.run(&["spool", "verify"]);
    assert_eq!(done.code, Some(65), "{done:?}");
    let expected = format!(
        "damaged  seq 2, {}, queued: its record does not open, or its row was changed\n\
         4 events verified, 1 damaged, 0 set aside\n",
        ids[1]
    );
    assert_eq!(done.out, expected);
    assert!(done.err.starts_with("Error: the spool is damaged.\n") && done.err.contains("--quarantine"), "{done:?}");
    let done = vault.run(&["spool", "verify", "--json"]);
    let told = crate::vault::objects(&done.out);
    assert_eq!((told.len(), told[0].get_str("eventId")), (2, Some(ids[1].as_str())));
    assert_eq!((told[1].get("verified"), number(&told[1], "damaged")), (Some(&false.into()), Some(1)));
    assert_eq!(vault.json(&["spool", "list", "--state", "queued", "--json"]).len(), 4);
}

#[test]
fn a_total_that_does_not_agree_is_named() {
    let (vault, _sandbox, _) = spooled();
    vault.spool().execute("UPDATE totals SET events = 9 WHERE state = 0", []).unwrap();
    let done = vault.run(&["spool", "verify"]);
    assert_eq!(done.code, Some(65), "{done:?}");
    assert!(done.out.starts_with("damaged  4 events are queued, and the total says 9\n"), "{done:?}");
    vault.spool().execute("UPDATE totals SET events = -4 WHERE state = 0", []).unwrap();
    let done = vault.run(&["spool", "verify"]);
    assert!(done.out.starts_with("damaged  4 events are queued, and the total says -4\n"), "{done:?}");
}

#[test]
fn a_damaged_event_is_set_aside_with_a_signed_record_and_the_rest_of_its_stream_flows() {
    let (vault, _sandbox, ids) = spooled();
    damage(&vault, 1);
    let done = vault.run(&["spool", "verify", "--quarantine"]);
    assert_eq!(done.code, Some(65), "it was damaged");
    assert!(done.out.contains("; set aside\n4 events verified, 1 damaged, 1 set aside\n"), "{done:?}");
    // It was told of, and is no news.
    assert_eq!(vault.ok(&["spool", "verify"]), "4 events verified, 0 damaged, 0 set aside\n");
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 3, conflict 0, dead 0\n");

    let dead = vault.json(&["spool", "dead-letters", "--json"]).remove(0);
    assert_eq!((dead.get_str("eventId"), dead.get_str("lastError")), (Some(ids[0].as_str()), Some("payload-drift")));
    let shown = vault.json(&["spool", "show", &ids[0], "--json"]).remove(0);
    let record = shown.get_object("gap").unwrap().get_object("record").unwrap();
    assert_eq!((record.get_str("event_id"), record.get_str("type")), (Some(ids[0].as_str()), Some("spool.gap")));
    assert!(vault.ok(&["spool", "show", &ids[0]]).contains("\ngap            set aside "));
    let log = vault.ok(&["audit", "show", "--kind", "Incident", "--format", "jsonl"]);
    assert!(log.contains("a damaged record was set aside") && log.contains(&ids[0]), "{log}");

    // Sending all of them again leaves it where it is.
    let retried = vault.run(&["spool", "retry", "--all-dead"]);
    assert!(retried.err.starts_with("1 event left: the records are damaged"), "{retried:?}");
}

#[test]
fn a_receipt_that_was_changed_on_the_disk_is_found() {
    let (vault, _sandbox, _) = spooled();
    vault.ok(&["relay", "drain"]);
    vault.spool().execute("UPDATE settled SET body = x'7b7d' WHERE seq = 3", []).unwrap();
    let done = vault.run(&["spool", "verify", "--quarantine"]);
    assert_eq!(done.code, Some(65));
    assert!(done.out.contains("receipted: its answer is no receipt for it\n"), "{done:?}");
    assert!(done.out.ends_with("4 events verified, 1 damaged, 0 set aside\n"), "what is settled stays: {done:?}");
}
