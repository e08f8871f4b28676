use std::io::{BufRead as _, BufReader};

use local_vault::protocol::json::Value;
use local_vault::spool::State;

use super::place::sandbox;
use super::process::{Running, Vault, lines, said};
use super::support::wait_until;

const IDLE: &str = "{\"error\": null, \"eventId\": null, \"sent\": false, \"statusCode\": null}\n";

#[test]
fn a_line_is_an_event_or_an_idle_look_and_max_iterations_counts_both() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    let ids = [vault.enqueue("s", "1", "{}"), vault.enqueue("s", "2", "{}")];
    let out = vault.succeed(&["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations", "4"]);
    let sent = |id: &str| format!("{{\"error\": null, \"eventId\": \"{id}\", \"sent\": true, \"statusCode\": 201}}\n");
    assert_eq!(out, [sent(&ids[0]), sent(&ids[1]), IDLE.into(), IDLE.into()].concat());

    vault.enqueue("s", "3", "{}");
    vault.enqueue("t", "4", "{}");
    let out = vault.succeed(&["drain-loop", "--max-iterations", "1"]);
    assert_eq!(lines(out.as_bytes()).len(), 1);
    let queued = vault.events().iter().filter(|event| event.state == State::Queued).count();
    assert_eq!(queued, 1, "no more is sent than will be told of");
}

#[test]
fn drain_once_prints_one_line_and_ends_well_also_where_the_send_failed() {
    let sandbox = sandbox(&["--behave", "reject:1"]);
    let vault = Vault::new(&sandbox);
    assert_eq!(vault.succeed(&["drain-once"]), IDLE);
    let id = vault.enqueue("s", "1", "{}");
    let failed = format!("{{\"error\": \"http-422\", \"eventId\": \"{id}\", \"sent\": false, \"statusCode\": 422}}\n");
    assert_eq!(vault.succeed(&["drain-once"]), failed);
}

#[test]
fn stop_on_error_ends_with_2_and_tells_of_what_was_in_flight() {
    let sandbox = sandbox(&["--behave", "reject:1"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    vault.enqueue("t", "2", "{}");
    let output = vault.run(&["drain-loop", "--stop-on-error", "--idle-sleep-seconds", "60"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told = lines(&output.stdout);
    assert_eq!(told.iter().filter(|line| line.get_str("error") == Some("http-422")).count(), 1);
    assert_eq!(told.len(), 2);
    assert!(vault.events().iter().all(|event| event.state != State::Relaying));
}

#[test]
fn max_iterations_below_1_is_refused() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    assert_eq!(vault.code(&["drain-loop", "--max-iterations", "0"]), Some(1));
    assert_eq!(vault.code(&["drain-loop", "--max-iterations", "-1"]), Some(1));
    assert_eq!(vault.code(&["drain-loop", "--idle-sleep-seconds", "-1"]), Some(1));
}

#[test]
fn sigterm_ends_an_idle_sleep_at_once() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    let mut relay = Running::start(&mut vault.command(&["drain-loop", "--idle-sleep-seconds", "100000"]));
    let mut line = String::new();
    BufReader::new(relay.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, IDLE);
    assert_eq!(relay.terminate().status.code(), Some(0));
}

#[test]
fn sigterm_settles_what_is_in_flight_and_then_ends_well() {
    let sandbox = sandbox(&["--behave", "stall:1"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let relay = Running::start(&mut vault.command(&["drain-loop"]));
    wait_until(|| (!sandbox.recorded_events().is_empty()).then_some(()));
    // The receiver says nothing; the send ends with its deadline, and is settled.
    let output = relay.terminate();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = lines(&output.stdout);
    assert_eq!((told.len(), told[0].get("error")), (1, Some(&Value::from("TimeoutError"))));
    let event = &vault.events()[0];
    assert_eq!((event.state, event.attempt, event.failures), (State::Queued, 1, 0));
}
