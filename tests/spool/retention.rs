//! Content goes when its time is over; evidence stays.

use std::time::Duration;

use local_vault::spool::{Limits, Retention, SpoolError, State};

use super::support::{Place, event, fill, judged, lease_one, receipted, settle};

async fn deliver(spool: &local_vault::spool::Spool, count: usize) {
    for _ in 0..count {
        let leased = lease_one(spool).await;
        settle(spool, &leased, receipted(&leased)).await;
    }
}

fn keep(keep_for: Option<u64>, keep_events: Option<u64>) -> Retention {
    Retention { keep_for: keep_for.map(Duration::from_secs), keep_events }
}

#[tokio::test]
async fn content_is_dropped_when_its_time_is_over_and_the_receipt_stays() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(Limits::default(), keep(Some(60), None));
    fill(&spool, "a", &["1", "2"]).await;
    deliver(&spool, 1).await;
    let first = place.events().remove(0);
    place.clock.advance(60_000);
    deliver(&spool, 1).await;
    assert!(spool.payload(first.event_id).await.unwrap().is_some(), "not before its time");
    place.clock.advance(1);
    spool.turn(Vec::new(), 0).await.unwrap();

    let gone = spool.payload(first.event_id).await.unwrap_err();
    assert_eq!(gone, SpoolError::Purged { event_id: first.event_id });
    let second = place.events().remove(1);
    assert!(spool.payload(second.event_id).await.unwrap().is_some(), "the second has its time still");
    assert!(place.reader().answer(&first).unwrap().is_some());
    // Long after, the reference is still known.
    assert!(spool.enqueue(event("a", "1", "{\"of\":\"1\"}")).await.unwrap().known);
    let conflict = spool.enqueue(event("a", "1", "{}")).await.unwrap_err();
    assert_eq!(conflict, SpoolError::Conflict { event_id: first.event_id });
}

#[tokio::test]
async fn the_oldest_content_goes_where_there_is_more_than_is_kept() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(Limits::default(), keep(None, Some(2)));
    fill(&spool, "a", &["1", "2", "3", "4"]).await;
    deliver(&spool, 4).await;
    spool.turn(Vec::new(), 0).await.unwrap();
    let mut kept = Vec::new();
    for event in place.events() {
        kept.push(spool.payload(event.event_id).await.is_ok());
    }
    assert_eq!(kept, [false, false, true, true]);
}

#[tokio::test]
async fn what_waits_and_what_is_dead_keeps_its_content_whatever_the_clock_says() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(Limits::default(), keep(Some(0), Some(0)));
    fill(&spool, "a", &["1", "2"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, judged(None)).await;
    place.clock.advance(100 * 365 * 24 * 60 * 60 * 1000);
    spool.turn(Vec::new(), 0).await.unwrap();
    for event in place.events() {
        assert!(spool.payload(event.event_id).await.unwrap().is_some(), "{}", event.state.name());
    }
    // The operator may drop the dead one's.
    let purged = spool.control().purge(State::Dead, place.now(), |_| {}).await.unwrap();
    assert_eq!((purged.events, purged.bytes), (1, first.event.payload_size));
    let refused = spool.control().retry(first.event.event_id).await.unwrap_err();
    assert_eq!(refused, SpoolError::Purged { event_id: first.event.event_id });
}

#[tokio::test]
async fn purged_content_leaves_no_trace_in_the_files() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    deliver(&spool, 1).await;
    let sealed: Vec<u8> = place.raw().query_row("SELECT sealed FROM contents", [], |row| row.get(0)).unwrap();
    let holds = || {
        let files = super::support::bytes_in(place.folder.path());
        files.iter().any(|(_, bytes)| bytes.windows(sealed.len()).any(|window| window == sealed))
    };
    assert!(holds());
    spool.control().purge(State::Receipted, place.now().plus_millis(1), |_| {}).await.unwrap();
    assert!(!holds());
}
