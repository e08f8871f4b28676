use rustix::process::Signal;

use super::home::{Home, IDLE, INSTALLATION, PUBLIC_KEY, enqueued, failed, sent};
use super::support::Sandbox;

/// A sandbox in one mood, and a home that relays to it.
fn stage(modes: &[&str]) -> (Sandbox, Home) {
    let trust = format!("{INSTALLATION}={PUBLIC_KEY}");
    let modes = modes.iter().flat_map(|mode| ["--behave", mode]);
    let arguments: Vec<&str> = ["--plain-http", "--trust", &trust].into_iter().chain(modes).collect();
    let sandbox = Sandbox::start(&arguments);
    let home = Home::new().with("RELAY_URL", sandbox.url());
    (sandbox, home)
}

/// `drain-loop` without a pause.
fn drain_loop(home: &Home, iterations: &str) -> super::home::Said {
    home.run(&["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations", iterations])
}

#[test]
fn an_event_is_sent_once_and_its_status_follows() {
    let (sandbox, home) = stage(&[]);
    home.run(&["drain-once"]).is(0, IDLE);
    let id = home.spool("s", "r", r#"{"a":1}"#);
    home.run(&["drain-once"]).is(0, &sent(&id));
    home.run(&["drain-once"]).is(0, IDLE);
    home.enqueue("s", "r", r#"{"a":1}"#).is(0, &enqueued(&id, "delivered"));
    assert_eq!(sandbox.recorded_events().len(), 1);
}

#[test]
fn a_stream_is_sent_in_its_order_and_idle_looks_count() {
    let (_sandbox, home) = stage(&[]);
    let ids: Vec<_> = (0..3).map(|n| home.spool("s", &n.to_string(), "{}")).collect();
    let lines: String = ids.iter().map(|id| sent(id)).collect();
    drain_loop(&home, "5").is(0, &format!("{lines}{IDLE}{IDLE}"));
}

#[test]
fn a_send_that_failed_is_told_and_ends_with_0() {
    let cases = [
        ("reject", "http-422", "422"),
        ("conflict", "http-409", "409"),
        ("unavailable", "http-503", "503"),
        ("too-many", "http-429", "429"),
        ("unauthorized", "http-401", "401"),
        ("revoke", "http-403", "403"),
        ("redirect", "http-302", "302"),
        ("html", "ack-missing-body", "200"),
        ("empty", "ack-missing-body", "200"),
        ("garbage", "ack-missing-body", "200"),
        ("not-accepted", "ack-ack-not-accepted", "201"),
        ("missing-receipt", "ack-missing-receipt", "201"),
        ("lie-envelope-hash", "ack-ack-envelope-hash-mismatch", "201"),
        ("lie-event-id", "ack-ack-event-id-mismatch", "201"),
        ("lie-stream", "ack-stream-id-mismatch", "201"),
        ("lie-receipt", "ack-event-hash-mismatch", "201"),
        ("close", "RemoteDisconnected", "null"),
        ("half-body", "IncompleteRead", "null"),
    ];
    for (mode, error, status) in cases {
        let (_sandbox, home) = stage(&[mode]);
        let id = home.spool("s", "r", "{}");
        home.run(&["drain-once"]).is(0, &failed(&id, error, status));
    }
}

#[test]
fn where_nobody_listens_it_is_a_urlerror_and_the_event_waits() {
    let home = Home::new();
    let id = home.spool("s", "r", "{}");
    home.run(&["drain-once"]).is(0, &failed(&id, "URLError", "null"));
    home.enqueue("s", "r", "{}").is(0, &enqueued(&id, "queued"));
}

#[test]
fn a_conflict_prints_as_dead() {
    let (_sandbox, home) = stage(&["conflict"]);
    let id = home.spool("s", "r", "{}");
    home.run(&["drain-once"]).is(0, &failed(&id, "http-409", "409"));
    home.enqueue("s", "r", "{}").is(0, &enqueued(&id, "dead"));
}

#[test]
fn after_a_revocation_every_look_says_so() {
    let (_sandbox, home) = stage(&["revoke"]);
    let id = home.spool("s", "r", "{}");
    let revoked = "{\"error\": \"installation-revoked\", \"eventId\": null, \"sent\": false, \"statusCode\": null}\n";
    drain_loop(&home, "2").is(0, &format!("{}{revoked}", failed(&id, "http-403", "403")));
    home.run(&["drain-once"]).is(0, revoked);
    home.run(&["drain-loop", "--stop-on-error"]).is(2, revoked);
}

#[test]
fn stop_on_error_ends_with_2_at_the_first_error() {
    let (_sandbox, home) = stage(&["ok:1", "reject"]);
    let ids: Vec<_> = (0..3).map(|n| home.spool("s", &n.to_string(), "{}")).collect();
    let said = home.run(&["drain-loop", "--stop-on-error"]);
    said.is(2, &format!("{}{}", sent(&ids[0]), failed(&ids[1], "http-422", "422")));
}

#[test]
fn the_pause_after_a_failed_send_is_no_iteration() {
    // The rejected event is due again after 2.5 seconds at most, by the relay's own clock.
    let (_sandbox, home) = stage(&["reject:1"]);
    let id = home.spool("s", "r", "{}");
    let said = home.run(&["drain-loop", "--idle-sleep-seconds", "2.6", "--max-iterations", "2"]);
    said.is(0, &format!("{}{}", failed(&id, "http-422", "422"), sent(&id)));
}

#[test]
fn an_event_is_enqueued_from_cron_while_the_loop_runs() {
    let (_sandbox, home) = stage(&[]);
    let mut relay = home.start(&["drain-loop", "--idle-sleep-seconds", "0.02"]);
    assert_eq!(relay.line().unwrap(), IDLE);
    let cron = ["SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "WITNESS_ID", "RELAY_URL"];
    let home = cron.into_iter().fold(home, Home::without);
    for n in 0..3 {
        let id = home.spool("s", &n.to_string(), "{}");
        let line = std::iter::from_fn(|| relay.line()).find(|line| line != IDLE).unwrap();
        assert_eq!(line, sent(&id));
        home.enqueue("s", &n.to_string(), "{}").is(0, &enqueued(&id, "delivered"));
    }
    assert_eq!(relay.end(Signal::TERM), Some(0));
}

#[test]
fn a_second_relay_on_the_spool_ends_with_1() {
    let home = Home::new();
    let mut relay = home.start(&["drain-loop", "--idle-sleep-seconds", "60"]);
    assert_eq!(relay.line().unwrap(), IDLE);
    home.run(&["drain-once"]).is(1, "");
    home.spool("s", "r", "{}");
    assert_eq!(relay.end(Signal::INT), Some(0));
}

#[test]
fn a_missing_setting_ends_with_1() {
    for name in ["ENCRYPTION_KEY", "SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "RELAY_URL"] {
        Home::new().without(name).run(&["drain-once"]).is(1, "");
        Home::new().with(name, "").run(&["drain-loop", "--max-iterations", "1"]).is(1, "");
    }
}

#[test]
fn flags_stand_in_for_settings() {
    let home = ["KEY_ID", "INSTALLATION_ID", "RELAY_URL"].into_iter().fold(Home::new(), Home::without);
    let flags = ["drain-once", "--installation-id", "ins_1", "--endpoint-url=https://localhost/x", "--k", "k"];
    home.run(&flags).is(0, IDLE);
    let empty = ["drain-once", "--installation-id", "", "--endpoint-url", "", "--key-id", ""];
    Home::new().run(&empty).is(0, IDLE);
}

#[test]
fn an_endpoint_that_is_not_one_ends_with_1() {
    for url in [
        "x",
        "http://192.0.2.1/",
        "ftp://localhost/",
        "https://u:p@localhost/",
        "https://localhost/?x",
        "https://localhost/#x",
    ] {
        Home::new().with("RELAY_URL", url).run(&["drain-once"]).is(1, "");
    }
}

#[test]
fn the_loop_checks_its_numbers() {
    let home = Home::new();
    let cases: [(&[&str], i32); 12] = [
        (&["--max-iterations", "0"], 1),
        (&["--max-iterations", "-1"], 1),
        (&["--max-iterations", "abc"], 2),
        (&["--max-iterations", "1.5"], 2),
        (&["--max-iterations", ""], 2),
        (&["--idle-sleep-seconds", "-1"], 1),
        (&["--idle-sleep-seconds=-0.5"], 1),
        (&["--idle-sleep-seconds", "nan"], 1),
        (&["--idle-sleep-seconds", "soon"], 2),
        (&["--i", "1"], 2),
        (&["--stop-on-error=yes"], 2),
        (&["x"], 2),
    ];
    for (flags, code) in cases {
        home.run(&[["drain-loop"].as_slice(), flags].concat()).is(code, "");
    }
    home.run(&["drain-loop", "--max=1_0", "--max", " 1 ", "--idle=3600", "--stop"]).is(0, IDLE);
    for value in ["soon", "-1"] {
        let home = Home::new().with("IDLE_SLEEP_SECONDS", value);
        home.run(&["drain-loop", "--max-iterations", "1"]).is(1, "");
    }
}
