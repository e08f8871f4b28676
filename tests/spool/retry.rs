//! A dead event's way back, and what an operator cannot bring back.

use local_vault::facts::{EventId, Timestamp};
use local_vault::spool::{Settlement, SpoolError, State};

use super::support::{Place, answer, fill, judged, lease, lease_one, receipted, refs, settle};

#[tokio::test]
async fn a_dead_event_that_is_retried_goes_in_front_of_what_waits_and_behind_what_was_settled() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3", "4"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let second = lease_one(&spool).await;
    settle(&spool, &second, judged(None)).await;
    let third = lease_one(&spool).await;

    // Something of its stream is in flight: it waits for that.
    spool.control().retry(second.event.event_id).await.unwrap();
    assert_eq!(refs(&lease(&spool, 9).await), Vec::<&str>::new());
    settle(&spool, &third, receipted(&third)).await;
    let again = lease_one(&spool).await;
    assert_eq!((again.event.source_ref.as_str(), again.event.attempt), ("2", 2), "an attempt is never made twice");
    assert_eq!(again.event.failures, 0);
    settle(&spool, &again, receipted(&again)).await;
    assert_eq!(lease_one(&spool).await.event.source_ref, "4");
    assert_eq!(place.events()[1].state, State::Receipted);
}

#[tokio::test]
async fn a_relay_that_ends_with_a_retried_event_in_front_takes_back_what_was_in_flight() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, judged(None)).await;
    lease_one(&spool).await;
    spool.control().retry(first.event.event_id).await.unwrap();
    drop(spool);
    let spool = place.open();
    assert_eq!(spool.recover().await.unwrap(), 1);
    let leased = lease_one(&spool).await;
    assert_eq!(leased.event.source_ref, "1");
    settle(&spool, &leased, receipted(&leased)).await;
    assert_eq!(lease_one(&spool).await.event.source_ref, "2");
}

#[tokio::test]
async fn nothing_but_a_dead_event_is_retried() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let second = lease_one(&spool).await;
    settle(&spool, &second, Settlement::Conflict(answer(&second.event))).await;
    let unknown = EventId::new(Timestamp::from_millis(0));
    let ids = place.events().iter().map(|event| event.event_id).chain([unknown]).collect::<Vec<_>>();
    let before = place.events();
    for id in ids {
        let refused = spool.control().retry(id).await.unwrap_err();
        assert_eq!(refused, SpoolError::NotDead { event_id: id });
    }
    assert_eq!(place.events(), before);
}

#[tokio::test]
async fn a_damaged_event_is_not_retried_since_its_gap_is_signed() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    place.raw().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 1", []).unwrap();
    let turn = lease(&spool, 1).await;
    assert_eq!((turn.damaged.len(), refs(&turn)), (1, vec![]));
    let event_id = turn.damaged[0].event_id;
    assert_eq!(spool.control().retry(event_id).await.unwrap_err(), SpoolError::Tampered { event_id });
    assert_eq!(refs(&lease(&spool, 9).await), ["2"]);
}
