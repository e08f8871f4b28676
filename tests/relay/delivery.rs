use std::collections::HashMap;

use local_vault::protocol::json::{Object, Value};
use local_vault::spool::{Gate, State};

use super::place::{INSTALLATION, Place, client_of, run, sandbox};

/// The envelope of a request in the record.
pub(crate) fn envelope(request: &Object) -> Object {
    let body = local_vault::protocol::json::parse(request.get_str("body").unwrap().as_bytes()).unwrap();
    body.get_object("envelope").unwrap().clone()
}

#[tokio::test]
async fn each_stream_arrives_in_order_and_every_receipt_is_kept_whole() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    let streams = ["a", "b", "c", "d"];
    place.fill(&streams, 25).await;
    let (outcomes, gate) = run(&mut place.drain(client_of(&sandbox)).await).await;
    assert_eq!((outcomes.len(), gate), (100, Gate::Open));
    assert!(outcomes.iter().all(|o| o.is_sent() && o.attempt == 1 && o.status == Some(201) && o.error.is_none()));

    let mut arrived: HashMap<String, Vec<String>> = HashMap::new();
    for request in sandbox.recorded_events() {
        let envelope = envelope(&request);
        assert_eq!(envelope.get_str("installation_id"), Some(INSTALLATION));
        assert_eq!(envelope.get("attempt").and_then(Value::as_i64), Some(1));
        let text = |name| envelope.get_str(name).unwrap().to_owned();
        arrived.entry(text("stream_id")).or_default().push(text("source_ref"));
    }
    for stream in streams {
        let wanted: Vec<_> = (0..25).map(|n| format!("{stream}/{n}")).collect();
        assert_eq!(arrived[stream], wanted);
    }
    place.assert_all_delivered(100).await;
    assert_eq!(sandbox.count("events").await, 100);
}

#[tokio::test]
async fn streams_go_in_parallel_and_one_that_waits_holds_up_no_other() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "stall:1"]));
    place.fill(&["slow", "quick"], 5).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    // The receiver never answers the first request, and that is no reason for the other stream to wait.
    for _ in 0..5 {
        let local_vault::relay::Step::Settled(outcome) = drain.next(usize::MAX).await.unwrap() else { panic!() };
        assert!(outcome.is_sent());
    }
    let of_one: Vec<_> = place.events().into_iter().filter(|e| e.state == State::Receipted).collect();
    assert_eq!(of_one.len(), 5);
    assert!(of_one.iter().all(|e| e.stream_id == of_one[0].stream_id));
    assert_eq!(place.count(State::Relaying), 1);
}

#[tokio::test]
async fn a_lost_answer_is_made_good_by_a_replay_with_the_earlier_receipt() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "half-body:1"]));
    place.fill(&["a"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!((outcomes[0].state, sandbox.count("events").await), (State::Queued, 1));

    place.clock.set(super::place::probe_at(gate));
    let (outcomes, _) = run(&mut drain).await;
    // 200 says that the receiver had it before.
    assert_eq!((outcomes[0].state, outcomes[0].status, outcomes[0].attempt), (State::Receipted, Some(200), 2));
    assert_eq!((sandbox.count("events").await, sandbox.count("replays").await), (1, 1));
    place.assert_all_delivered(1).await;
    let attempts: Vec<_> =
        sandbox.recorded_events().iter().map(|r| envelope(r).get("attempt").and_then(Value::as_i64)).collect();
    assert_eq!(attempts, [Some(1), Some(2)]);
}

#[tokio::test]
async fn what_a_relay_that_ended_had_in_flight_is_sent_again() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "stall:2"]));
    place.fill(&["a", "b", "c"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert!(matches!(drain.next(usize::MAX).await, Ok(local_vault::relay::Step::Settled(_))));
    assert_eq!(place.count(State::Relaying), 2);
    drop(drain);
    let (outcomes, _) = run(&mut place.drain(client_of(&sandbox)).await).await;
    assert!(outcomes.len() == 2 && outcomes.iter().all(|o| o.is_sent() && o.attempt == 2));
    place.assert_all_delivered(3).await;
}
