//! A receiver that is ahead of the spool, and one that contradicts itself.

use std::time::Duration;

use local_vault::spool::{CONTRADICTION, Gate, SpoolControl, State};

use super::place::{Place, client_of, run, sandbox};

#[tokio::test]
async fn a_conflict_over_what_was_never_sent_stops_the_relay_until_the_operator_has_looked() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "conflict:1"]));
    place.fill(&["a", "b"], 2).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!(gate, Gate::Suspect);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.state == State::Conflict).count(), 1);
    // What was in flight beside it is settled; nothing new is sent, by nobody, whatever an operator resumes.
    let control = place.spool().control();
    assert!(control.resume(None, false).await.unwrap().suspect.is_some());
    assert_eq!(run(&mut drain).await, (vec![], Gate::Suspect));
    drop(drain);
    assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await, (vec![], Gate::Suspect));

    assert_eq!(control.resume(None, true).await.unwrap().suspect, None);
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert_eq!(run(&mut drain).await.1, Gate::Open);
    assert_eq!(place.events().iter().filter(|event| event.state == State::Receipted).count(), 3);
}

#[tokio::test]
async fn what_was_spooled_before_the_operator_accepted_stops_nothing_and_what_came_later_does() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "conflict:3"]));
    place.fill(&["a", "b"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert_eq!(run(&mut drain).await.1, Gate::Suspect);
    place.spool().control().resume(None, true).await.unwrap();
    assert_eq!(run(&mut drain).await.1, Gate::Open);
    place.clock.advance(Duration::from_secs(1));
    place.fill(&["c"], 1).await;
    assert_eq!(run(&mut drain).await.1, Gate::Suspect);
}

#[tokio::test]
async fn a_receipt_that_is_older_than_the_first_send_stops_the_relay_and_settles_its_event() {
    // As to a spool that was put back from a copy of an hour ago.
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "earlier-receipt"]));
    place.fill(&["a"], 2).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!((outcomes.len(), gate), (1, Gate::Suspect));
    assert_eq!(outcomes[0].state, State::Receipted, "the receipt is a good one");

    // Once the operator knows, the rest of the copy is answered in the same way, and settles.
    place.spool().control().resume(None, true).await.unwrap();
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!((outcomes.len(), gate), (1, Gate::Open));
    assert_eq!(outcomes[0].state, State::Receipted);
}

#[tokio::test]
async fn a_receipt_of_long_ago_for_what_was_sent_before_is_a_replay() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "close:1", "--behave", "earlier-receipt:1"]));
    place.fill(&["a"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    run(&mut drain).await;
    place.clock.advance(Duration::from_secs(1000));
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!((outcomes.len(), outcomes[0].state, gate), (1, State::Receipted, Gate::Open));
}

#[tokio::test]
async fn a_receipt_that_contradicts_an_earlier_one_stops_its_stream_and_no_other() {
    let behave = ["--behave", "lie-envelope-hash:1", "--behave", "other-receipt:1"];
    let (place, sandbox) = (Place::new(), sandbox(&behave));
    place.fill(&["a"], 2).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    run(&mut drain).await;
    place.clock.advance(Duration::from_secs(3));
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!(gate, Gate::Open);
    // It is told of as what it became, and not as what the answer was for itself.
    let told: Vec<_> = outcomes.iter().map(|outcome| (outcome.state, outcome.error.as_deref())).collect();
    assert_eq!(told, [(State::Queued, Some(CONTRADICTION))]);
    let stopped = place.reader().stopped().unwrap();
    assert_eq!((stopped.len(), stopped[0].stream_id.as_str(), stopped[0].reason.as_str()), (1, "a", CONTRADICTION));
    let waiting = place.events();
    assert!(waiting.iter().all(|event| event.state == State::Queued), "{waiting:?}");
    assert_eq!(place.reader().claims(&waiting[0]).unwrap().len(), 2, "both receipts are kept");

    // Time alone lets nothing go on, nor does a restart.
    place.clock.advance(Duration::from_secs(10_000));
    drop(drain);
    place.fill(&["b"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, _) = run(&mut drain).await;
    assert_eq!((outcomes.len(), outcomes[0].stream_id.as_str()), (1, "b"));

    let control = SpoolControl::open(&place.path(), place.clock.clone()).unwrap();
    assert!(control.release("a").await.unwrap());
    assert!(!control.release("a").await.unwrap());
    assert_eq!(run(&mut drain).await.0.len(), 2);
    assert!(place.events().iter().all(|event| event.state == State::Receipted));
    assert_eq!(place.reader().claims(&place.events()[0]).unwrap().len(), 2, "evidence stays");
}
