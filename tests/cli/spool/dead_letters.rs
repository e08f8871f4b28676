use std::fs;

use local_vault::protocol::json::{Object, Value};

use crate::support::Sandbox;
use crate::vault::{Vault, names};

/// A vault whose first event the receiver has judged against for the last time, with another one behind it.
fn with_a_dead_event() -> (Vault, Sandbox, String) {
    let (vault, sandbox) = Vault::with_sandbox_that(&["reject:1"]);
    let id = vault.enqueue("s", "1", r#"{"n":1}"#);
    vault.enqueue("s", "2", r#"{"n":2}"#);
    vault.use_up_judgements();
    let drained = vault.run(&["relay", "drain"]);
    assert_eq!((drained.code, drained.out.as_str()), (Some(65), "receipted 1, conflict 0, dead 1\n"), "{drained:?}");
    (vault, sandbox, id)
}

fn sent(sandbox: &Sandbox) -> Vec<String> {
    let body =
        |request: Object| local_vault::protocol::json::parse(request.get_str("body").unwrap().as_bytes()).unwrap();
    let sent = sandbox.recorded_events().into_iter().map(body);
    sent.map(|body| body.get_object("envelope").unwrap().get_str("source_ref").unwrap().to_owned()).collect()
}

#[test]
fn dead_letters_say_why_and_when_and_need_no_key() {
    let (vault, _sandbox, id) = with_a_dead_event();
    ["encryption.key", "relay.key", "source.key"].iter().for_each(|key| fs::remove_file(vault.path(key)).unwrap());
    let letters = vault.json(&["spool", "dead-letters", "--json"]);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.get_str("eventId"), letter.get_str("lastError")), (Some(id.as_str()), Some("http-422")));
    assert_eq!(letter.get("statusCode").and_then(Value::as_i64), Some(422));
    assert_eq!(letter.get("attempt").and_then(Value::as_i64), Some(1));
    assert_eq!(letter.get("hasContent"), Some(&true.into()));
    let settled_at = letter.get_str("settledAt").unwrap();
    let table = vault.ok(&["spool", "dead-letters"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, [&id, "dead", settled_at, "1", "422", "http-422", "s", "1"]);
}

#[test]
fn conflicts_are_listed_where_that_is_asked_for_and_never_sent_again() {
    let (vault, sandbox) = Vault::with_sandbox_that(&["reject:1", "conflict:1"]);
    vault.enqueue("s", "1", "{}");
    let conflict = vault.enqueue("s", "2", "{}");
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    assert_eq!(vault.json(&["spool", "dead-letters", "--json"]).len(), 1);
    let letters = vault.json(&["spool", "dead-letters", "--conflicts", "--json"]);
    let states: Vec<_> = letters.iter().map(|letter| letter.get_str("state").unwrap()).collect();
    assert_eq!(states, ["dead", "conflict"]);

    let sent = sandbox.recorded_events().len();
    let refused = vault.run(&["spool", "retry", &conflict]);
    assert_eq!(refused.code, Some(65));
    let why = format!("Error: {conflict} is a conflict: the receiver holds other content under its source_ref.\n");
    assert!(refused.err.starts_with(&why), "{refused:?}");
    // All of them takes the dead one alone.
    let retried = vault.ok(&["spool", "retry", "--all-dead"]);
    assert_eq!(retried, "1 event to be sent again, each from its old place\n");
    assert_eq!(vault.json(&["spool", "list", "--state", "conflict", "--json"]).len(), 1);
    assert_eq!(sandbox.recorded_events().len(), sent);
}

#[test]
fn a_dead_event_that_is_retried_goes_in_front_of_what_waits_and_is_delivered() {
    let (vault, sandbox, id) = with_a_dead_event();
    vault.enqueue("s", "3", "{}");
    assert_eq!(vault.ok(&["spool", "retry", &id, &id]), "1 event to be sent again, each from its old place\n");
    let event = &vault.json(&["spool", "show", &id, "--json"])[0];
    assert_eq!(event.get("failures").and_then(Value::as_i64), Some(0), "its judgements are forgotten");
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 2, conflict 0, dead 0\n");
    assert_eq!(sent(&sandbox), ["1", "2", "1", "3"]);
    assert!(vault.json(&["spool", "dead-letters", "--json"]).is_empty());
}

#[test]
fn of_several_that_are_named_none_is_retried_where_one_cannot_be() {
    let (vault, _sandbox, id) = with_a_dead_event();
    let receipted = vault.json(&["spool", "list", "--state", "receipted", "--json"]).remove(0);
    let receipted = receipted.get_str("eventId").unwrap();
    vault.run(&["spool", "retry", &id, receipted]).fails(
        65,
        &[
            &format!("Error: {receipted} is not dead but receipted."),
            "Nothing was changed. `local-vault spool dead-letters` lists what can be sent again.",
        ],
    );
    assert_eq!(vault.json(&["spool", "dead-letters", "--json"]).len(), 1);
    assert_eq!(vault.run(&["spool", "retry"]).code, Some(64));
    assert_eq!(vault.run(&["spool", "retry", &id, "--all-dead"]).code, Some(64));
    assert_eq!(vault.run(&["spool", "retry", &id, "--stream-id", "s"]).code, Some(64));
}

#[test]
fn all_dead_of_one_stream_leaves_others_and_what_was_purged() {
    let (vault, _sandbox) = Vault::with_sandbox_that(&["reject:3"]);
    for (stream, source_ref) in [("s", "1"), ("s", "2"), ("t", "3")] {
        vault.enqueue(stream, source_ref, "{}");
    }
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    assert_eq!(
        vault.ok(&["spool", "retry", "--all-dead", "--stream-id", "u"]),
        "0 events to be sent again, each from its old place\n"
    );
    assert!(vault.ok(&["spool", "retry", "--all-dead", "--stream-id", "s"]).starts_with("2 events "));
    vault.ok(&["spool", "purge", "--older-than", "0s", "--dead", "--yes"]);
    let retried = vault.run(&["spool", "retry", "--all-dead"]);
    assert_eq!((retried.code, retried.err.as_str()), (Some(0), "1 event left: the content was purged.\n"));
    let purged = vault.json(&["spool", "dead-letters", "--json"]).remove(0);
    let id = purged.get_str("eventId").unwrap();
    vault.run(&["spool", "retry", id]).fails(
        65,
        &[
            &format!("Error: the content of event {id} was purged."),
            "What was signed and answered about it stays: `local-vault receipt show`.",
        ],
    );
    assert!(names(&purged).contains(&"hasContent") && purged.get("hasContent") == Some(&false.into()));
}
