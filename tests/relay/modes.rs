use std::time::Duration;

use local_vault::protocol::json::{self, Value};
use local_vault::relay::Client;
use local_vault::spool::{Gate, State};

use super::place::{Place, client, client_of, probe_at, run, sandbox};
use super::support::Sandbox;

/// Short enough to wait for, where nothing but the deadline ends the exchange.
const HASTY: Duration = Duration::from_secs(2);

fn hasty(sandbox: &Sandbox) -> Client {
    client(sandbox.url(), Some(sandbox.ca_file()), HASTY)
}

#[tokio::test]
async fn outages_park_the_receiver_and_count_nothing() {
    // Mode, error, status, how long it is left alone at least in seconds, events that the receiver has recorded.
    let cases = [
        ("close", "RemoteDisconnected", None, 2, 0),
        ("empty", "ack-missing-body", Some(200), 2, 0),
        ("forbidden", "http-403", Some(403), 2, 0),
        ("garbage", "ack-missing-body", Some(200), 2, 0),
        ("half-body", "IncompleteRead", None, 2, 1),
        ("html", "ack-missing-body", Some(200), 2, 0),
        ("huge", "IncompleteRead", None, 2, 0),
        ("not-found", "http-404", Some(404), 2, 0),
        ("redirect", "http-302", Some(302), 2, 0),
        ("stall", "TimeoutError", None, 2, 0),
        ("stall-body", "TimeoutError", None, 2, 1),
        ("too-many", "http-429", Some(429), 2, 0),
        ("unauthorized", "http-401", Some(401), 2, 0),
        ("unavailable", "http-503", Some(503), 2, 0),
        ("unavailable-later", "http-503", Some(503), 120, 0),
    ];
    for (mode, error, status, wait, recorded) in cases {
        let (place, sandbox) = (Place::new(), sandbox(&["--behave", mode]));
        place.fill(&["a"], 2).await;
        let client = if mode.starts_with("stall") { hasty(&sandbox) } else { client_of(&sandbox) };
        let (outcomes, gate) = run(&mut place.drain(client).await).await;
        assert_eq!(outcomes.len(), 1, "{mode}");
        let outcome = &outcomes[0];
        assert_eq!((outcome.state, outcome.error.as_deref()), (State::Queued, Some(error)), "{mode}");
        assert_eq!((outcome.status, outcome.revoked), (status, false), "{mode}");
        let waits = probe_at(gate).as_millis() - place.now().as_millis();
        assert!((wait * 1000..=wait * 1250).contains(&waits), "{mode}: {waits} ms");

        let event = &place.events()[0];
        assert_eq!((event.attempt, event.failures, event.last_error.as_deref()), (1, 0, Some(error)), "{mode}");
        let parked = place.destination().parked.unwrap();
        assert_eq!((parked.reason.as_str(), parked.failures), (error, 1), "{mode}");
        assert_eq!(sandbox.recorded_events().len(), 1, "{mode}: one send and nothing else");
        assert_eq!(sandbox.count("trapped").await, 0, "{mode}");
        assert_eq!(sandbox.count("events").await, recorded, "{mode}");

        sandbox.behave("ok", None).await;
        let mut drain = place.drain(client_of(&sandbox)).await;
        let nothing = run(&mut drain).await;
        assert_eq!((nothing.0.len(), nothing.1), (0, gate), "{mode}: not before the probe is due");
        place.clock.set(probe_at(gate));
        let (outcomes, gate) = run(&mut drain).await;
        assert_eq!((outcomes.len(), outcomes[0].attempt, gate), (2, 2, Gate::Open), "{mode}");
        assert_eq!(place.destination().parked, None, "{mode}");
        place.assert_all_delivered(2).await;
    }
}

#[tokio::test]
async fn what_names_the_event_is_a_judgement_and_parks_nothing() {
    let cases = [
        ("lie-envelope-hash", "ack-ack-envelope-hash-mismatch", 201),
        ("lie-event-id", "ack-ack-event-id-mismatch", 201),
        ("lie-receipt", "ack-event-hash-mismatch", 201),
        ("lie-stream", "ack-stream-id-mismatch", 201),
        ("missing-receipt", "ack-missing-receipt", 201),
        ("not-accepted", "ack-ack-not-accepted", 201),
        ("reject", "http-422", 422),
    ];
    for (mode, error, status) in cases {
        let (place, sandbox) = (Place::new(), sandbox(&["--behave", &format!("{mode}:1")]));
        place.fill(&["a"], 2).await;
        let mut drain = place.drain(client_of(&sandbox)).await;
        let (outcomes, gate) = run(&mut drain).await;
        // The second of the stream waits for the first.
        assert_eq!((outcomes.len(), gate), (1, Gate::Open), "{mode}");
        assert_eq!(outcomes[0].error.as_deref(), Some(error), "{mode}");
        assert_eq!((outcomes[0].state, outcomes[0].status), (State::Queued, Some(status)), "{mode}");
        assert_eq!(place.events()[0].failures, 1, "{mode}");
        assert_eq!(place.destination().parked, None, "{mode}");

        place.clock.advance(Duration::from_secs(3));
        let (outcomes, _) = run(&mut drain).await;
        assert!(outcomes.len() == 2 && outcomes.iter().all(|outcome| outcome.is_sent()), "{mode}: {outcomes:?}");
        assert!(place.events().iter().all(|event| event.last_error.is_none()), "{mode}");
    }
}

#[tokio::test]
async fn eight_judgements_are_death_after_the_published_delays() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "reject:8"]));
    place.fill(&["a"], 2).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    for judgement in 1..=7_u32 {
        let (outcomes, _) = run(&mut drain).await;
        assert_eq!((outcomes.len(), outcomes[0].attempt, outcomes[0].state), (1, judgement, State::Queued));
        let delay = Duration::from_secs(1 << judgement);
        place.clock.advance(delay - Duration::from_millis(1));
        assert!(run(&mut drain).await.0.is_empty(), "sent again before {delay:?}");
        place.clock.advance(delay / 4 + Duration::from_millis(1));
    }
    let (outcomes, _) = run(&mut drain).await;
    assert_eq!((outcomes[0].state, outcomes[0].attempt, outcomes[0].status), (State::Dead, 8, Some(422)));
    assert!(outcomes[1].is_sent(), "the stream goes on behind it");

    let dead = &place.events()[0];
    assert_eq!((dead.failures, dead.last_error.as_deref()), (8, Some("http-422")));
    let answer = place.reader().answer(dead).unwrap().unwrap();
    assert_eq!((answer.status, answer.sent.unwrap().attempt), (422, 8));
    place.clock.advance(Duration::from_secs(1_000_000));
    assert!(run(&mut drain).await.0.is_empty(), "the dead are not sent again");
}

#[tokio::test]
async fn a_conflict_is_settled_at_once_and_its_evidence_is_kept() {
    // Not at the first send: that one would mean that the receiver is ahead of the spool.
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "reject:1", "--behave", "conflict:1"]));
    place.fill(&["a"], 2).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    run(&mut drain).await;
    place.clock.advance(Duration::from_secs(3));
    let (outcomes, _) = run(&mut drain).await;
    let states: Vec<_> = outcomes.iter().map(|outcome| (outcome.state, outcome.error.as_deref())).collect();
    assert_eq!(states, [(State::Conflict, Some("http-409")), (State::Receipted, None)]);
    let event = &place.events()[0];
    let evidence = place.reader().answer(event).unwrap().unwrap();
    assert_eq!((evidence.status, evidence.sent.unwrap().attempt), (409, 2));
    let error = json::parse(&evidence.body).unwrap().get_object("error").unwrap().clone();
    assert_eq!(error.get_str("code"), Some("source_ref_conflict"));
    assert_eq!(error.get("eventId"), Some(&Value::from(event.event_id.to_string())));
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_does_not_end_the_outage_that_showed_meanwhile() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "unavailable-later:1"]));
    place.fill(&["a", "b", "c", "d"], 3).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, gate) = run(&mut drain).await;
    // All four were sent at once. Whoever of them is answered first, two minutes were asked for.
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_sent()).collect();
    assert_eq!((failed.len(), failed[0].error.as_deref()), (1, Some("http-503")));
    assert!(probe_at(gate).as_millis() - place.now().as_millis() >= 120_000);
    assert_eq!(sandbox.recorded_events().len(), outcomes.len());
    place.clock.set(probe_at(gate));
    run(&mut drain).await;
    place.assert_all_delivered(12).await;
}

#[tokio::test]
async fn the_published_counting_lets_an_outage_kill_where_it_was_asked_for() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "unavailable"]));
    place.fill(&["a"], 1).await;
    let mut drain = place.published_drain(client_of(&sandbox)).await;
    for failure in 1..=8 {
        let (outcomes, gate) = run(&mut drain).await;
        let state = if failure == 8 { State::Dead } else { State::Queued };
        assert_eq!((outcomes[0].state, outcomes[0].attempt, gate), (state, failure, Gate::Open));
        place.clock.advance(Duration::from_secs(5 << failure) / 4);
    }
    assert_eq!(place.events()[0].failures, 8);
    assert_eq!(place.destination().parked, None);
}
