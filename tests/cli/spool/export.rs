use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use local_vault::protocol::json::{Object, Value};

use crate::support::Sandbox;
use crate::vault::{Vault, names, objects, trusted};

const MEMBERS: [&str; 18] = [
    "answer",
    "attempt",
    "claims",
    "created_at",
    "epoch",
    "event_id",
    "failures",
    "gap",
    "kind",
    "last_error",
    "payload_sha256",
    "payload_size",
    "seq",
    "settled_at",
    "source_ref",
    "state",
    "stream_id",
    "payload",
];

/// Two events are delivered, and two wait.
fn vault() -> (Vault, Sandbox) {
    let (vault, sandbox) = Vault::with_sandbox();
    for n in ["1", "2"] {
        vault.enqueue("s", n, &format!(r#"{{"n":{n},"big":12345678901234567890123,"f":2.50}}"#));
    }
    vault.ok(&["relay", "drain"]);
    vault.enqueue("s", "3", r#"{"n":3,"big":12345678901234567890123,"f":2.50}"#);
    vault.enqueue("t", "4", "{}");
    (vault, sandbox)
}

fn refs(events: &[Object]) -> Vec<&str> {
    events.iter().map(|event| event.get_str("source_ref").unwrap()).collect()
}

#[test]
fn an_export_has_every_event_in_order_with_evidence_that_verifies_and_needs_no_key() {
    let (vault, _sandbox) = vault();
    fs::remove_file(vault.path("encryption.key")).unwrap();
    let done = vault.run(&["spool", "export"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), "4 events exported, up to seq 4.\n"));
    let events = objects(&done.out);
    assert_eq!(refs(&events), ["1", "2", "3", "4"]);
    for event in &events {
        let mut members = MEMBERS[..17].to_vec();
        members.sort_unstable();
        assert_eq!(names(event), members);
        assert_eq!(event.get_str("kind"), Some("local-vault.event.v1"));
    }
    assert_eq!((events[3].get("answer"), events[3].get("settled_at")), (Some(&Value::Null), Some(&Value::Null)));
    // The envelope with its signature, and the receipt.
    let receipts: String =
        events[..2].iter().map(|event| event.get_object("answer").unwrap().to_python_line() + "\n").collect();
    vault.write("receipts.jsonl", receipts);
    vault.ok(&["verify", "receipts.jsonl", "--public-key", &trusted("relay")]);
}

#[test]
fn an_export_can_be_narrowed_and_gone_on_with() {
    let (vault, _sandbox) = vault();
    let export = |more: &[&str]| vault.json(&[&["spool", "export"], more].concat());
    assert_eq!(refs(&export(&["--state", "queued"])), ["3", "4"]);
    assert_eq!(refs(&export(&["--stream-id", "t"])), ["4"]);
    assert_eq!(refs(&export(&["--after", "2"])), ["3", "4"]);
    let (first, rest) = (export(&[]), export(&["--after", "1"]));
    assert_eq!(first[1..], rest);
    assert!(export(&["--after", "4"]).is_empty());
}

#[test]
fn what_waits_is_exported_with_its_payload_and_enqueued_elsewhere_as_the_same_content() {
    let (vault, _sandbox) = vault();
    let exported = vault.ok(&["spool", "export", "--state", "queued", "--payload"]);
    let (events, other) = (objects(&exported), Vault::new());
    other.write("waiting.jsonl", &exported);
    other.ok(&["enqueue", "--ndjson", "waiting.jsonl"]);
    let there = other.json(&["spool", "list", "--json"]);
    let same = |event: &Object, there: &Object| {
        [("stream_id", "streamId"), ("source_ref", "sourceRef"), ("payload_sha256", "payloadSha256")]
            .iter()
            .all(|(exported, listed)| event.get_str(exported) == there.get_str(listed))
    };
    assert_eq!((events.len(), there.len()), (2, 2));
    assert!(events.iter().zip(&there).all(|(event, there)| same(event, there)), "{there:?}");
}

#[test]
fn a_file_is_the_operators_alone_and_never_overwritten() {
    let (vault, _sandbox) = vault();
    let words = ["spool", "export", "-o", "events.jsonl"];
    assert_eq!(vault.ok(&words), "");
    let written = fs::read(vault.path("events.jsonl")).unwrap();
    assert_eq!(fs::metadata(vault.path("events.jsonl")).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(String::from_utf8(written.clone()).unwrap(), vault.ok(&["spool", "export"]));
    vault.enqueue("t", "5", "{}");
    vault
        .run(&words)
        .fails(64, &["Error: events.jsonl is there already.", "Nothing was overwritten. Name another file."]);
    assert_eq!(fs::read(vault.path("events.jsonl")).unwrap(), written);
    let done = vault.run(&["spool", "export", "-o", "gone/events.jsonl"]);
    assert_eq!(done.code, Some(74), "{done:?}");
}

#[test]
fn what_is_purged_or_damaged_is_said_and_keeps_nothing_else_from_being_exported() {
    let (vault, _sandbox) = vault();
    vault.ok(&["spool", "purge", "--older-than", "0s", "--yes"]);
    let events = vault.json(&["spool", "export", "--payload"]);
    let missing = |events: &[Object]| {
        events.iter().map(|event| event.get_str("payload_missing").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(missing(&events), [Some("purged".into()), Some("purged".into()), None, None]);

    vault.spool().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 3", []).unwrap();
    vault.spool().execute("UPDATE settled SET public_key = zeroblob(31) WHERE seq = 1", []).unwrap();
    let done = vault.run(&["spool", "export", "--payload"]);
    assert_eq!(done.code, Some(65), "{done:?}");
    assert!(done.err.contains("Error: of 2 events something is damaged and missing.\n"), "{done:?}");
    let events = objects(&done.out);
    assert_eq!(refs(&events), ["1", "2", "3", "4"]);
    assert_eq!(missing(&events), [Some("purged".into()), Some("purged".into()), Some("damaged".into()), None]);
    assert_eq!(events[0].get_str("evidence_missing"), Some("damaged"));
}

#[test]
fn payloads_that_are_shown_are_recorded_first_and_evidence_alone_is_not() {
    let (vault, _sandbox) = vault();
    vault.ok(&["spool", "export"]);
    vault.ok(&["spool", "export", "--payload"]);
    let log = vault.ok(&["audit", "show", "--kind", "CommandBegun", "--format", "jsonl"]);
    assert_eq!(log.matches("spool export").count(), 1, "{log}");
    assert!(log.contains("\"command\":\"spool export --payload\""), "{log}");
}
