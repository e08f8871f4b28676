//! The witness's outbox: what was signed goes as it is, through a spool and a relay of its own.

use std::time::Duration;

use local_vault::custody::{Purpose, PurposeKey, Signer, SignerConfig};
use local_vault::facts::Timestamp;
use local_vault::protocol::json::{self, Object, Value};
use local_vault::protocol::witness::{Statement, Submission, receipt};
use local_vault::relay::{Client, Outbox, Step};
use local_vault::spool::{Event, Filter, Gate, Limits, Retention, SpoolError, State};
use local_vault::store::StoreError;
use rusqlite::Connection;

use super::custody;
use super::place::{INSTALLATION, PATIENT, Place, SIGNING, client, client_of, probe_at, run, sandbox};
use super::support::Sandbox;

/// The path of the receiver's checkpoints.
fn path() -> String {
    format!("/v2/local-vault/installations/{INSTALLATION}/witness/checkpoints")
}

pub(crate) fn checkpoints_of(sandbox: &Sandbox) -> Client {
    client(&sandbox.at(&path()), Some(sandbox.ca_file()), PATIENT)
}

/// What `witness-checkpoint` prints for a submission that it accepts.
pub(crate) async fn accepted(submission: Submission) -> Object {
    let key = PurposeKey::bind(Purpose::Witness, "k1", custody::signing_key(SIGNING)).unwrap();
    let signer = Signer::spawn(key, SignerConfig::default());
    let accepted_at = Timestamp::from_millis(1_800_000_000_000);
    let statement = Statement { submission, key_epoch: "k1".into(), accepted_at };
    let (_, signature) = signer.sign(statement.preimage(), "req_1").await.unwrap();
    let receipt = receipt("lwr_1", &statement, signer.public_key(), &signature);
    let line = Object::new().with("accepted", true).with("replayed", false).with("forkEvidence", Value::Null);
    line.with("receipt", receipt)
}

fn submission(n: i64) -> Submission {
    Submission {
        witness_id: INSTALLATION.into(),
        tenant_id: "ten_1".into(),
        stream_id: format!("str_{n}"),
        checkpoint_id: format!("chk_{n}"),
        checkpoint_seq_no: n,
        checkpoint_hash: format!("{n:064x}"),
        previous_checkpoint_hash: None,
    }
}

async fn line(n: i64) -> Object {
    accepted(submission(n)).await
}

/// Spools a line for each of the items up to `last`.
async fn fill(outbox: &Outbox, last: i64) {
    let mut lines = Vec::new();
    for n in 1..=last {
        lines.push((n, line(n).await));
    }
    outbox.read_up_to(last, lines).await.unwrap();
}

fn events(place: &Place) -> Vec<Event> {
    place.outbox_reader().list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap()
}

/// The requests that were answered on the path of the checkpoints.
fn posted(sandbox: &Sandbox) -> Vec<Object> {
    let record = sandbox.record();
    let requests = record.split(|&c| c == b'\n').filter(|line| !line.is_empty()).map(|line| json::parse(line).unwrap());
    requests.filter(|request| request.get_str("path") == Some(&path())).collect()
}

#[tokio::test]
async fn what_was_signed_is_posted_once_in_order_and_as_it_is() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    fill(&place.outbox().await, 3).await;
    let (outcomes, gate) = run(&mut place.outbox_drain(checkpoints_of(&sandbox)).await).await;
    assert_eq!((outcomes.len(), gate), (3, Gate::Open));
    assert!(outcomes.iter().all(|o| o.is_sent() && o.attempt == 1 && o.status == Some(201) && o.error.is_none()));
    assert_eq!(sandbox.count("checkpoints").await, 3);

    let requests = posted(&sandbox);
    assert_eq!(requests.len(), 3);
    for (n, request) in (1..).zip(&requests) {
        let headers = request.get_object("headers").unwrap();
        assert_eq!(request.get_str("body").unwrap().as_bytes(), line(n).await.to_canonical());
        assert_eq!(headers.get_str("content-type"), Some("application/json"));
        assert!(headers.iter().all(|(name, _)| !name.starts_with("x-attesto")), "{headers:?}");
    }
    for event in events(&place) {
        assert_eq!((event.state, event.stream_id.as_str()), (State::Receipted, "witness"));
        let answer = place.outbox_reader().answer(&event).unwrap().unwrap();
        assert_eq!((answer.status, &answer.sent), (201, &None));
        assert!(json::parse(&answer.body).unwrap().get_str("recorded").is_some());
        assert_eq!(answer.bundle(&event, None), None);
    }
}

#[tokio::test]
async fn an_item_has_one_line_also_where_it_was_signed_again() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    let outbox = place.outbox().await;
    outbox.read_up_to(1, vec![(1, line(1).await)]).await.unwrap();
    let again = vec![(1, line(1).await.with("replayed", true)), (2, line(2).await)];
    outbox.read_up_to(2, again).await.unwrap();
    let (outcomes, _) = run(&mut place.outbox_drain(checkpoints_of(&sandbox)).await).await;
    let refs: Vec<_> = outcomes.iter().map(|outcome| outcome.source_ref.as_str()).collect();
    assert_eq!(refs, ["feed:1", "feed:2"]);
    let first = json::parse(posted(&sandbox)[0].get_str("body").unwrap().as_bytes()).unwrap();
    assert_eq!(first.get("replayed"), Some(&Value::Bool(false)));
}

#[tokio::test]
async fn outages_park_the_receiver_and_count_nothing() {
    // Mode, error, status, how long it is left alone at least in seconds.
    let cases = [
        ("close", "RemoteDisconnected", None, 2),
        ("forbidden", "http-403", Some(403), 2),
        ("garbage", "answer-is-not-json", Some(200), 2),
        ("half-body", "IncompleteRead", None, 2),
        ("html", "answer-is-not-json", Some(200), 2),
        ("huge", "IncompleteRead", None, 2),
        ("not-found", "http-404", Some(404), 2),
        ("redirect", "http-302", Some(302), 2),
        ("too-many", "http-429", Some(429), 2),
        ("unauthorized", "http-401", Some(401), 2),
        ("unavailable", "http-503", Some(503), 2),
        ("unavailable-later", "http-503", Some(503), 120),
    ];
    let sandbox = sandbox(&[]);
    for (mode, error, status, wait) in cases {
        let place = Place::new();
        fill(&place.outbox().await, 2).await;
        sandbox.behave_on("checkpoints", mode, Some(1)).await;
        let before = posted(&sandbox).len();
        let mut drain = place.outbox_drain(checkpoints_of(&sandbox)).await;
        let (outcomes, gate) = run(&mut drain).await;
        assert_eq!(outcomes.len(), 1, "{mode}");
        let outcome = &outcomes[0];
        assert_eq!((outcome.state, outcome.error.as_deref()), (State::Queued, Some(error)), "{mode}");
        assert_eq!((outcome.status, outcome.revoked), (status, false), "{mode}");
        let waits = probe_at(gate).as_millis() - place.now().as_millis();
        assert!((wait * 1000..=wait * 1250).contains(&waits), "{mode}: {waits} ms");
        assert_eq!((events(&place)[0].failures, events(&place)[0].attempt), (0, 1), "{mode}");

        place.clock.set(Timestamp::from_millis(probe_at(gate).as_millis() - 1));
        assert!(run(&mut drain).await.0.is_empty(), "{mode}: not before the probe is due");
        assert_eq!(posted(&sandbox).len(), before + 1, "{mode}");
        place.clock.set(probe_at(gate));
        let (outcomes, gate) = run(&mut drain).await;
        assert_eq!((outcomes.len(), outcomes[0].attempt, gate), (2, 2, Gate::Open), "{mode}");
        assert!(outcomes.iter().all(|outcome| outcome.is_sent()), "{mode}: {outcomes:?}");
    }
    assert_eq!(sandbox.count("trapped").await, 0);
}

#[tokio::test]
async fn eight_refusals_are_death_and_the_last_answer_is_kept() {
    for (mode, status) in [("reject", 422_u16), ("conflict", 409)] {
        let (place, sandbox) = (Place::new(), sandbox(&[]));
        sandbox.behave_on("checkpoints", mode, Some(8)).await;
        fill(&place.outbox().await, 2).await;
        let mut drain = place.outbox_drain(checkpoints_of(&sandbox)).await;
        for judgement in 1..=7_u32 {
            let (outcomes, gate) = run(&mut drain).await;
            assert_eq!((outcomes.len(), outcomes[0].attempt, outcomes[0].state), (1, judgement, State::Queued));
            assert_eq!((gate, outcomes[0].status), (Gate::Open, Some(status)));
            place.clock.advance(Duration::from_secs(5 << judgement) / 4);
        }
        let (outcomes, _) = run(&mut drain).await;
        assert_eq!((outcomes[0].state, outcomes[0].attempt), (State::Dead, 8));
        assert!(outcomes[1].is_sent(), "what comes behind it goes on");

        let dead = &events(&place)[0];
        assert_eq!((dead.failures, dead.last_error.as_deref()), (8, Some(format!("http-{status}").as_str())));
        let answer = place.outbox_reader().answer(dead).unwrap().unwrap();
        assert_eq!((answer.status, &answer.sent), (status, &None));
        assert!(json::parse(&answer.body).unwrap().get_object("error").is_some());
    }
}

#[tokio::test]
async fn a_line_that_the_receiver_has_already_is_settled_by_its_answer() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    sandbox.behave_on("checkpoints", "half-body", Some(1)).await;
    fill(&place.outbox().await, 1).await;
    let mut drain = place.outbox_drain(checkpoints_of(&sandbox)).await;
    let (_, gate) = run(&mut drain).await;
    assert_eq!(sandbox.count("checkpoints").await, 1);
    place.clock.set(probe_at(gate));
    let (outcomes, _) = run(&mut drain).await;
    assert_eq!((outcomes[0].state, outcomes[0].status), (State::Receipted, Some(200)));
    assert_eq!((sandbox.count("checkpoints").await, place.outbox().await.position().await.unwrap()), (1, 1));
}

#[tokio::test]
async fn a_line_that_was_in_flight_when_the_relay_ended_is_sent_again() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    fill(&place.outbox().await, 1).await;
    let mut drain = place.outbox_drain(checkpoints_of(&sandbox)).await;
    sandbox.behave_on("checkpoints", "stall", Some(1)).await;
    let stalled = async {
        while posted(&sandbox).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        step = drain.next(usize::MAX) => panic!("nothing was answered: {step:?}"),
        () = stalled => {}
    }
    drop(drain);
    let (outcomes, _) = run(&mut place.outbox_drain(checkpoints_of(&sandbox)).await).await;
    assert!(outcomes.len() == 1 && outcomes[0].is_sent() && outcomes[0].attempt == 2, "{outcomes:?}");
}

#[tokio::test]
async fn the_position_survives_and_never_goes_back() {
    let place = Place::new();
    let outbox = place.outbox().await;
    assert_eq!(outbox.position().await.unwrap(), 0);
    outbox.read_up_to(4, vec![(2, line(2).await)]).await.unwrap();
    drop(outbox);
    let outbox = place.outbox().await;
    assert_eq!((outbox.position().await.unwrap(), events(&place).len()), (4, 1));
    outbox.read_up_to(3, Vec::new()).await.unwrap();
    assert_eq!(outbox.position().await.unwrap(), 4);
    outbox.read_up_to(9, Vec::new()).await.unwrap();
    assert_eq!(place.outbox().await.position().await.unwrap(), 9);
}

#[tokio::test]
async fn where_there_is_no_room_for_all_lines_nothing_of_them_is_read() {
    let place = Place::new();
    let spool = place.outbox_spool();
    let outbox = Outbox::new(&place.outbox_path(), spool.clone()).await.unwrap();
    spool.set_bounds(Limits { events: Some(1), ..Limits::default() }, Retention::default());
    let lines = || async { vec![(1, line(1).await), (2, line(2).await)] };
    let full = outbox.read_up_to(2, lines().await).await;
    assert!(matches!(full, Err(SpoolError::Full { .. })), "{full:?}");
    assert_eq!((outbox.position().await.unwrap(), events(&place).len()), (0, 0));
    spool.set_bounds(Limits::default(), Retention::default());
    outbox.read_up_to(2, lines().await).await.unwrap();
    assert_eq!((outbox.position().await.unwrap(), events(&place).len()), (2, 2));
}

#[tokio::test]
async fn neither_relay_stops_where_the_other_ones_receiver_is_away() {
    for away in ["checkpoints", "events"] {
        let (place, sandbox) = (Place::new(), sandbox(&[]));
        place.fill(&["a"], 3).await;
        fill(&place.outbox().await, 3).await;
        sandbox.behave_on(away, "unavailable-later", Some(1)).await;
        let mut relay = place.drain(client_of(&sandbox)).await;
        let mut outbox = place.outbox_drain(checkpoints_of(&sandbox)).await;
        let (of_relay, of_outbox) = tokio::join!(run(&mut relay), run(&mut outbox));
        let (stopped, goes_on) = if away == "events" { (of_relay, of_outbox) } else { (of_outbox, of_relay) };
        assert_eq!((goes_on.0.len(), goes_on.1), (3, Gate::Open), "{away} away");
        assert!(goes_on.0.iter().all(|outcome| outcome.is_sent()));
        assert_eq!((stopped.0.len(), stopped.0[0].state), (1, State::Queued), "{away} away");

        place.clock.set(probe_at(stopped.1));
        let (of_relay, of_outbox) = tokio::join!(run(&mut relay), run(&mut outbox));
        let (back, idle) = if away == "events" { (of_relay, of_outbox) } else { (of_outbox, of_relay) };
        assert_eq!((back.0.len(), back.1, idle.0.len()), (3, Gate::Open, 0), "{away} back");
        assert_eq!((sandbox.count("events").await, sandbox.count("checkpoints").await), (3, 3));
    }
}

#[tokio::test]
async fn one_relay_drains_an_outbox() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    let mut drain = place.outbox_drain(checkpoints_of(&sandbox)).await;
    assert!(matches!(drain.next(usize::MAX).await, Ok(Step::Idle { gate: Gate::Open, until: None })));
    let second = place.try_outbox_drain(checkpoints_of(&sandbox)).await;
    assert!(matches!(second, Err(SpoolError::Store(StoreError::Busy(_)))), "{second:?}");
}

#[tokio::test]
async fn an_outbox_is_not_relayed_and_a_spool_of_events_is_no_outbox() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    place.fill(&["a"], 1).await;
    let taken = Outbox::new(&place.path(), place.spool()).await.map(drop);
    assert_eq!(taken, Err(SpoolError::OtherUse { is_outbox: false }));
    assert_eq!(place.spool().read_up_to(1, Vec::new()).await, Err(SpoolError::OtherUse { is_outbox: false }));

    let empty = Place::new();
    Outbox::new(&empty.path(), empty.spool()).await.unwrap();
    let relayed = empty.try_drain(client_of(&sandbox), INSTALLATION).await.map(drop);
    assert_eq!(relayed, Err(SpoolError::OtherUse { is_outbox: true }));
    assert!(run(&mut place.drain(client_of(&sandbox)).await).await.0[0].is_sent());
}

#[tokio::test]
async fn an_answer_without_an_envelope_is_whole_in_an_outbox_alone() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    place.fill(&["a"], 1).await;
    fill(&place.outbox().await, 1).await;
    run(&mut place.drain(client_of(&sandbox)).await).await;
    run(&mut place.outbox_drain(checkpoints_of(&sandbox)).await).await;
    let mut check = place.outbox_spool().start_check().unwrap();
    assert!(check.next(10).unwrap().unwrap().damaged.is_empty());
    assert_eq!(check.finish(true).unwrap(), [""; 0]);

    let strip = "UPDATE settled SET installation_id = NULL, sent_attempt = NULL, signed_at = NULL, signature = NULL,
                                    public_key = NULL";
    Connection::open(place.path()).unwrap().execute(strip, []).unwrap();
    let damaged = place.spool().start_check().unwrap().next(10).unwrap().unwrap().damaged;
    assert_eq!(damaged[0].what, "the signature of what was sent is gone");
}
