//! An outage never kills an event: a week of each kind, with a clock that jumps from probe to probe.

#![allow(clippy::print_stdout)] // the table is what these are run for

use std::time::{Duration, Instant};

use local_vault::facts::Clock as _;
use local_vault::relay::{Client, Drain, Step};
use local_vault::spool::{Gate, State};
use tokio::net::TcpSocket;

use super::place::{PATIENT, Place, client, client_of, run, sandbox};
use super::receiver::{Authority, Receiver, Script};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const EVENTS: usize = 20;
const STREAMS: [&str; 4] = ["a", "b", "c", "d"];

/// For a receiver that never answers: no deadline is too short for that.
const HASTY: Duration = Duration::from_millis(20);
/// On a busy machine so short a deadline may pass before there is a connection, and else it passes after that.
const HASTY_ERRORS: [&str; 2] = ["TimeoutError", "URLError"];

/// What a week brought.
struct Week {
    probes: usize,
    longest: Duration,
}

/// Spools, and lives through a week of probes. Each send must end in `error` and count nothing.
async fn live_through(place: &Place, drain: &mut Drain, errors: &[&str]) -> Week {
    place.fill(&STREAMS, EVENTS / STREAMS.len()).await;
    let end = place.now().plus_millis(WEEK.as_millis().try_into().unwrap());
    let mut week = Week { probes: 0, longest: Duration::ZERO };
    // One event of each stream was on its way when the outage showed.
    let (mut most, mut failures) = (STREAMS.len(), 0);
    while place.clock.now() < end {
        let mut sends = 0;
        let until = loop {
            match drain.next(usize::MAX).await.unwrap() {
                Step::Settled(outcome) => {
                    assert_eq!(outcome.state, State::Queued);
                    assert!(errors.contains(&outcome.error.as_deref().unwrap()), "{outcome:?}");
                    sends += 1;
                }
                Step::Idle { gate: Gate::Parked { until }, .. } => break until,
                Step::Idle { gate, .. } => panic!("not parked: {gate:?}"),
            }
        };
        assert!((1..=most).contains(&sends), "{sends} sends at once");
        most = 1;
        failures += 1;
        assert_eq!(place.destination().parked.unwrap().failures, failures);
        let wait = until.as_millis() - place.now().as_millis();
        let least = if failures < 9 { 1000 << failures } else { 300_000 };
        assert!((least..=least * 5 / 4).contains(&wait), "{wait} ms after {failures} probes");
        week.probes += sends;
        week.longest = week.longest.max(Duration::from_millis(wait.unsigned_abs()));
        place.clock.set(until);
    }
    assert!(place.events().iter().all(|event| (event.state, event.failures) == (State::Queued, 0)));
    week
}

/// The receiver is back: everything arrives. Prints a row of the table.
async fn recover(place: &Place, drain: &mut Drain, kind: &str, week: &Week, started: Instant) {
    let (outcomes, gate) = run(drain).await;
    assert_eq!((outcomes.len(), gate), (EVENTS, Gate::Open));
    place.assert_all_delivered(EVENTS).await;
    let (delivered, dead) = (place.count(State::Receipted), place.count(State::Dead));
    let (probes, longest) = (week.probes, week.longest.as_secs());
    println!(
        "a week of {kind:<22} {probes:>5} probes, at most {longest} s apart; then {delivered} of {EVENTS} delivered, \
         {dead} dead ({:.1} s)",
        started.elapsed().as_secs_f64()
    );
}

/// A week in which nothing but `away` can be reached, and then a relay that reaches the receiver.
async fn week_without_a_receiver(kind: &str, errors: &[&str], away: Client) {
    let (place, started) = (Place::new(), Instant::now());
    let mut drain = place.drain(away).await;
    let week = live_through(&place, &mut drain, errors).await;
    drop(drain);
    let sandbox = sandbox(&[]);
    recover(&place, &mut place.drain(client_of(&sandbox)).await, kind, &week, started).await;
    assert_eq!(sandbox.recorded_events().len(), EVENTS);
}

/// A week of answers that are none, and then the same receiver behaves.
async fn week_of_answers(kind: &str, mode: &str, error: &str) {
    let (place, started) = (Place::new(), Instant::now());
    let sandbox = sandbox(&["--behave", mode]);
    let mut drain = place.drain(client_of(&sandbox)).await;
    let week = live_through(&place, &mut drain, &[error]).await;
    assert_eq!(sandbox.recorded_events().len(), week.probes, "nothing but probes was sent");
    sandbox.behave("ok", None).await;
    recover(&place, &mut drain, kind, &week, started).await;
}

#[tokio::test]
async fn no_route() {
    // Bound and never listening: the port is nobody else's, and refuses.
    let port = TcpSocket::new_v4().unwrap();
    port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/events", port.local_addr().unwrap());
    week_without_a_receiver("no route", &["URLError"], client(&url, None, PATIENT)).await;
}

#[tokio::test]
async fn dns_gone() {
    // RFC 6761: no name under .invalid ever resolves.
    let any = Authority::new("any");
    let folder = tempfile::tempdir().unwrap();
    // A machine without a network may take long to say so, two thousand times.
    let away = client("https://receiver.invalid/events", Some(any.ca_file(folder.path())), HASTY);
    week_without_a_receiver("DNS gone", &HASTY_ERRORS, away).await;
}

#[tokio::test]
async fn certificate_expired() {
    let authority = Authority::new("a receiver's");
    let expired = authority.certify_with("127.0.0.1", |params| {
        params.not_before = time::macros::datetime!(2020-01-01 0:00 UTC);
        params.not_after = time::macros::datetime!(2021-01-01 0:00 UTC);
    });
    let receiver = Receiver::start(Some(&expired), Script::ok()).await;
    let folder = tempfile::tempdir().unwrap();
    let away = client(&receiver.url(), Some(authority.ca_file(folder.path())), PATIENT);
    week_without_a_receiver("an expired certificate", &["URLError"], away).await;
    assert!(receiver.requests().is_empty(), "an event left for whom the certificate does not prove");
}

#[tokio::test]
async fn unavailable() {
    week_of_answers("503", "unavailable", "http-503").await;
}

#[tokio::test]
async fn captive_portal() {
    week_of_answers("a captive portal", "html", "ack-missing-body").await;
}

#[tokio::test]
async fn unauthorized() {
    week_of_answers("401", "unauthorized", "http-401").await;
}

#[tokio::test]
async fn stalls() {
    let sandbox = sandbox(&["--plain-http", "--behave", "stall"]);
    let away = client(sandbox.url(), None, HASTY);
    week_without_a_receiver("stalls", &HASTY_ERRORS, away).await;
    assert_eq!(sandbox.count("events").await, 0);
}
