use local_vault::spool::{Park, Settlement, State};

use super::support::{Place, answer, fill, judged, lease, lease_one, receipted, refs, settle};

#[tokio::test]
async fn what_was_in_flight_when_the_process_died_is_sent_again_under_a_higher_attempt() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1"]).await;
    fill(&spool, "c", &["c1"]).await;
    let before = lease(&spool, 2).await;
    drop(spool);

    let counted: Vec<_> = place.events().iter().map(|event| (event.state, event.attempt)).collect();
    assert_eq!(counted[0], (State::Relaying, 1), "the attempt was on the disk before it was handed out");
    let spool = place.open();
    assert_eq!(spool.recover().await.unwrap(), 2);
    assert!(place.events().iter().all(|event| event.state == State::Queued));
    assert_eq!(spool.recover().await.unwrap(), 0);

    let after = lease(&spool, 9).await;
    assert_eq!(after.leased.len(), 3);
    for earlier in &before.leased {
        let again = after.leased.iter().find(|again| again.event.event_id == earlier.event.event_id).unwrap();
        assert_eq!(again.payload, earlier.payload);
        assert_eq!((again.event.attempt, again.event.failures), (2, 0));
    }
    place.events();
}

#[tokio::test]
async fn a_settlement_is_kept_whole() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let second = lease_one(&spool).await;
    settle(&spool, &second, Settlement::Conflict(answer(&second.event))).await;
    let third = lease_one(&spool).await;
    let last = Settlement::Judged { error: "http-422".into(), retry_at: None, answer: Some(answer(&third.event)) };
    settle(&spool, &third, last).await;

    let events = place.events();
    let reader = place.reader();
    for (event, leased) in events.iter().zip([&first, &second, &third]) {
        assert_eq!(reader.answer(event).unwrap(), Some(answer(&leased.event)));
    }
    let errors: Vec<_> = events.iter().map(|event| event.last_error.as_deref()).collect();
    assert_eq!(errors, [None, Some("conflict"), Some("http-422")]);
    assert_eq!(events.iter().map(|event| event.failures).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(lease(&spool, 9).await.next_ready_at, None);
}

#[tokio::test]
async fn settling_twice_changes_nothing() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let before = place.events();
    for settlement in [receipted(&first), judged(None), Settlement::Conflict(answer(&first.event))] {
        settle(&spool, &first, settlement).await;
    }
    spool.turn(vec![(4711, judged(None))], 0).await.unwrap();
    assert_eq!(place.events(), before);
    assert_eq!(lease_one(&spool).await.event.source_ref, "2");
}

#[tokio::test]
async fn trouble_on_our_side_makes_the_event_wait_and_parks_nothing() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let first = lease_one(&spool).await;
    let at = place.now().plus_millis(500);
    settle(&spool, &first, Settlement::Unjudged { error: "custody".into(), park: Park::NotAsked(at) }).await;
    assert_eq!(spool.destination().await.unwrap().parked, None);
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0]);
    place.clock.advance(500);
    let again = lease_one(&spool).await;
    assert_eq!((again.event.attempt, again.event.failures), (2, 0));
}

#[tokio::test]
async fn a_listing_is_narrowed_by_state_and_stream() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    fill(&spool, "b", &["3"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, judged(None)).await;
    let reader = place.reader();
    let list = |state: Option<State>, stream: Option<&str>, after| {
        let filter = local_vault::spool::Filter { state, stream_id: stream.map(str::to_owned), after, limit: 9 };
        reader.list(&filter).unwrap().into_iter().map(|event| event.source_ref).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 0), ["1", "2", "3"]);
    assert_eq!(list(Some(State::Dead), None, 0), ["1"]);
    assert_eq!(list(Some(State::Queued), None, 0), ["2", "3"]);
    assert_eq!(list(Some(State::Queued), Some("b"), 0), ["3"]);
    assert_eq!(list(Some(State::Receipted), None, 0), [""; 0]);
    assert_eq!(list(None, None, 2), ["3"]);
    assert_eq!(reader.oldest_pending().unwrap(), Some(place.now()));
}
