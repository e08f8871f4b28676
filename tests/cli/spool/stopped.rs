use local_vault::protocol::json::Value;

use crate::support::Sandbox;
use crate::vault::{Vault, names, objects};

/// A vault that two receipts for one event have stopped a stream of, and the event's id.
fn contradicted() -> (Vault, Sandbox, String) {
    let (vault, sandbox) = Vault::with_sandbox_that(&["lie-envelope-hash:1", "other-receipt:1"]);
    let id = vault.enqueue("invoices", "1", "{}");
    // It is sent again when it is due, two seconds later, and answered with another receipt.
    let drained = vault.run(&["relay", "drain"]);
    assert_eq!(drained.code, Some(77), "{drained:?}");
    let (alarm, failure) = drained.err.split_once('\n').unwrap();
    assert!(alarm.contains("stopped until an operator has looked") && alarm.contains(&id), "{alarm}");
    let said = "Error: 1 stream is stopped by receipts that contradict each other.\n\
                Nothing is lost. `local-vault spool stats` names them; `local-vault spool release` lets one go on.\n";
    assert_eq!(failure, said);
    (vault, sandbox, id)
}

const REASON: &str = "receipt-contradicts-an-earlier-one";

#[test]
fn receipts_that_contradict_each_other_stop_a_stream_which_everything_shows_until_it_is_released() {
    let (vault, _sandbox, id) = contradicted();
    for command in [["relay", "status"], ["spool", "stats"]] {
        let shown = vault.json(&[command[0], command[1], "--json"]).remove(0);
        let stopped = shown.get("stopped").and_then(Value::as_array).unwrap();
        let [Value::Object(stopped)] = stopped else { panic!("{stopped:?}") };
        assert_eq!((stopped.get_str("streamId"), stopped.get_str("reason")), (Some("invoices"), Some(REASON)));
        assert!(vault.ok(&command).lines().any(|line| line.starts_with("stopped       invoices since ")));
    }
    let shown = vault.json(&["spool", "show", &id, "--json"]).remove(0);
    let claims = shown.get("claims").and_then(Value::as_array).unwrap();
    assert_eq!(claims.len(), 2, "both receipts are shown whole");
    assert_eq!(vault.ok(&["spool", "show", &id]).lines().filter(|line| line.starts_with("claim ")).count(), 2);

    // Another stream does not wait for it.
    vault.enqueue("plans", "2", "{}");
    let drained = vault.run(&["relay", "drain"]);
    assert_eq!((drained.code, drained.out.as_str()), (Some(77), "receipted 1, conflict 0, dead 0\n"));

    let done = vault.ok(&["spool", "release", "invoices", "--reason", "the platform restored its database"]);
    assert_eq!(done, "invoices goes on; both receipts stay\n");
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n");
    let shown = vault.json(&["spool", "show", &id, "--json"]).remove(0);
    assert_eq!(shown.get("claims").and_then(Value::as_array).map(<[Value]>::len), Some(2), "evidence stays");
}

#[test]
fn why_a_stream_was_released_stands_in_the_audit_log() {
    let (vault, _sandbox, id) = contradicted();
    vault.ok(&["spool", "release", "invoices", "--reason", " ticket 17 "]);
    let log = objects(&vault.ok(&["audit", "show", "--kind", "Incident", "--format", "jsonl"]));
    let said = |member| log.iter().map(move |line| line.get_object("entry").unwrap().get_str(member).unwrap());
    assert_eq!(
        said("what").collect::<Vec<_>>(),
        ["two receipts for one event differ", "a stopped stream is released: ticket 17"]
    );
    assert_eq!(said("about").collect::<Vec<_>>(), [&id, "invoices"]);
    vault.ok(&["audit", "verify"]);
}

#[test]
fn only_what_is_stopped_is_released_and_only_for_a_reason() {
    let vault = Vault::with_an_event();
    vault.run(&["spool", "release", "str_1", "--reason", "x"]).fails(
        65,
        &[
            "Error: the stream str_1 is not stopped.",
            "`local-vault spool stats` names the streams that are. Nothing was changed.",
        ],
    );
    assert_eq!(vault.run(&["spool", "release", "str_1"]).code, Some(64));
    assert_eq!(vault.run(&["spool", "release", "str_1", "--reason", " "]).code, Some(64));
    let shown = vault.json(&["relay", "status", "--json"]).remove(0);
    assert!(names(&shown).contains(&"stopped"));
    assert_eq!(shown.get("stopped"), Some(&Value::Array(Vec::new())));
}
