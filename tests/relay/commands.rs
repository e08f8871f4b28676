use std::fs;
use std::io::{BufRead as _, BufReader};

use local_vault::protocol::json::{self, Object, Value};
use local_vault::spool::State;

use super::place::{INSTALLATION, sandbox};
use super::process::{Running, Vault, lines, said};

fn status(vault: &Vault) -> Object {
    json::parse(vault.succeed(&["relay", "status", "--json"]).as_bytes()).unwrap()
}

#[test]
fn relay_drain_sends_all_of_it_and_counts() {
    let sandbox = sandbox(&["--behave", "reject:1"]);
    let vault = Vault::new(&sandbox);
    for n in 0..5 {
        vault.enqueue("s", &n.to_string(), "{}");
    }
    // One that is judged against is sent again when it is due, two seconds later.
    let told = lines(vault.succeed(&["relay", "drain", "--json"]).as_bytes());
    let receipted = told.iter().filter(|line| line.get_str("state") == Some("receipted")).count();
    assert_eq!((told.len(), receipted), (6, 5));
    assert_eq!(vault.succeed(&["relay", "drain"]), "receipted 0, conflict 0, dead 0\n");
}

#[test]
fn relay_drain_tells_of_what_will_never_be_delivered() {
    let sandbox = sandbox(&["--behave", "reject:1", "--behave", "conflict:1"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let output = vault.run(&["relay", "drain"]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    assert!(said(&output).contains("receipted 0, conflict 1, dead 0"));
}

#[test]
fn relay_drain_that_is_stopped_says_what_is_left() {
    let sandbox = sandbox(&["--behave", "reject"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let mut relay = Running::start(&mut vault.command(&["relay", "drain", "--json"]));
    let mut line = String::new();
    BufReader::new(relay.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("http-422"), "{line}");
    let output = relay.terminate();
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert!(said(&output).contains("stopped with 1 to send"), "{}", said(&output));
}

#[test]
fn a_parked_relay_says_since_when_and_why_and_resume_probes_at_once() {
    let sandbox = sandbox(&["--behave", "unavailable-later:1"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    assert_eq!(status(&vault).get_str("state"), Some("open"));
    let away = vault.run(&["relay", "drain"]);
    assert_eq!(away.status.code(), Some(69), "{}", said(&away));
    assert!(said(&away).contains("http-503"), "{}", said(&away));
    let shown = status(&vault);
    let parked = shown.get_object("parked").unwrap();
    assert_eq!((shown.get_str("state"), parked.get_str("reason")), (Some("parked"), Some("http-503")));
    assert_eq!(parked.get("failures").and_then(Value::as_i64), Some(1));
    assert_eq!(shown.get_str("installationId"), Some(INSTALLATION));
    assert!(vault.succeed(&["relay", "status"]).contains("next probe"));

    assert_eq!(vault.code(&["relay", "drain"]), Some(69));
    assert_eq!(sandbox.recorded_events().len(), 1, "not before two minutes");
    vault.succeed(&["relay", "resume"]);
    assert_eq!(vault.succeed(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n");
    assert_eq!(status(&vault).get("parked"), Some(&Value::Null));
}

#[test]
fn a_paused_relay_sends_nothing_in_any_process_and_spools_all_the_same() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    vault.succeed(&["relay", "pause"]);
    vault.enqueue("s", "2", "{}");
    assert_eq!(status(&vault).get_str("state"), Some("paused"));
    assert_eq!(vault.code(&["relay", "drain"]), Some(77));
    assert_eq!(lines(vault.succeed(&["drain-once"]).as_bytes())[0].get("eventId"), Some(&Value::Null));
    vault.succeed(&["drain-loop", "--max-iterations", "2", "--idle-sleep-seconds", "0"]);
    assert!(sandbox.recorded_events().is_empty());
    vault.succeed(&["relay", "resume"]);
    assert_eq!(vault.succeed(&["relay", "drain"]), "receipted 2, conflict 0, dead 0\n");
}

#[test]
fn relay_test_proves_the_receiver_and_leaves_the_spool_as_it_is() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let before = (fs::read(vault.spool()).unwrap(), vault.events(), vault.destination());
    assert!(vault.succeed(&["relay", "test"]).contains("matching receipt"));
    assert_eq!(before, (fs::read(vault.spool()).unwrap(), vault.events(), vault.destination()));
    assert_eq!(before.1[0].state, State::Queued);

    let sent = sandbox.recorded_events();
    assert_eq!(sent.len(), 1);
    let body = sent[0].get_str("body").unwrap();
    assert!(body.contains("local_vault.relay.test") && body.contains("local-vault-relay-test"), "{body}");
    let left: Vec<_> = fs::read_dir(vault.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("relay-test")), "{left:?}");
}

#[test]
fn relay_test_says_what_is_wrong_and_parks_nothing() {
    for (mode, error) in [("unauthorized", "http-401"), ("html", "ack-missing-body"), ("lie-receipt", "ack-event-hash")]
    {
        let sandbox = sandbox(&["--behave", mode]);
        let vault = Vault::new(&sandbox);
        vault.enqueue("s", "1", "{}");
        let output = vault.run(&["relay", "test"]);
        assert_eq!(output.status.code(), Some(69), "{mode}: {}", said(&output));
        assert!(said(&output).contains(error), "{mode}: {}", said(&output));
        assert_eq!(vault.destination().parked, None, "{mode}");
    }
}
