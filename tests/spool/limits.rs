//! What a spool does not take, and that it drops nothing for it.

use local_vault::spool::{Limit, Limits, Retention, SpoolControl, SpoolError, State};

use super::support::{Place, event, fill, lease, lease_one, receipted, settle};

fn events(limit: u64) -> Limits {
    Limits { events: Some(limit), ..Limits::default() }
}

#[tokio::test]
async fn more_events_than_may_wait_are_refused_and_room_is_made_by_relaying() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(events(2), Retention::default());
    fill(&spool, "a", &["1", "2"]).await;
    let third = event("a", "3", "{}");
    let full = SpoolError::Full { limit: Limit::Events };
    assert_eq!(spool.enqueue(third.clone()).await.unwrap_err(), full);
    // What is here already is answered for, however full it is.
    assert!(spool.enqueue(event("a", "1", "{\"of\":\"1\"}")).await.unwrap().known);
    // One in flight waits too.
    let first = lease_one(&spool).await;
    assert_eq!(spool.enqueue(third.clone()).await.unwrap_err(), full);
    settle(&spool, &first, receipted(&first)).await;
    assert!(!spool.enqueue(third).await.unwrap().known);
    assert_eq!(place.events().len(), 3);
}

#[tokio::test]
async fn of_a_group_as_many_are_taken_as_there_is_room_for() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(events(3), Retention::default());
    let group = (0..5).map(|n| event("a", &n.to_string(), "{}")).collect();
    let answers = spool.enqueue_all(group).await.unwrap();
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, true, true, false, false]);
    assert_eq!(answers[3], Err(SpoolError::Full { limit: Limit::Events }));
    assert_eq!(place.events().len(), 3);
}

#[tokio::test]
async fn a_file_at_its_limit_takes_nothing_until_content_is_purged() {
    let place = Place::new();
    let spool = place.open();
    let big = |n: usize| event("a", &n.to_string(), &format!("{{\"n\":\"{n:020000}\"}}"));
    for n in 0..20 {
        spool.enqueue(big(n)).await.unwrap();
    }
    let limit = place.reader().usage().unwrap().bytes;
    spool.set_bounds(Limits { bytes: Some(limit), ..Limits::default() }, Retention::default());
    assert_eq!(spool.enqueue(big(20)).await.unwrap_err(), SpoolError::Full { limit: Limit::Bytes });
    for _ in 0..20 {
        let leased = lease_one(&spool).await;
        settle(&spool, &leased, receipted(&leased)).await;
    }
    assert_eq!(spool.enqueue(big(20)).await.unwrap_err(), SpoolError::Full { limit: Limit::Bytes });
    let purged = spool.control().purge(State::Receipted, place.now().plus_millis(1), |_| {}).await.unwrap();
    assert_eq!(purged.events, 20);
    assert!(!spool.enqueue(big(20)).await.unwrap().known);
    assert!(place.reader().usage().unwrap().bytes < limit / 2);
}

#[tokio::test]
async fn the_disks_reserve_is_not_touched() {
    let place = Place::new();
    let spool = place.open();
    spool.set_bounds(Limits { reserve: Some(u64::MAX), ..Limits::default() }, Retention::default());
    let refused = spool.enqueue(event("a", "1", "{}")).await.unwrap_err();
    assert_eq!(refused, SpoolError::Full { limit: Limit::Reserve });
}

#[tokio::test]
async fn in_maintenance_nothing_is_taken_and_everything_is_sent() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let control = SpoolControl::open(&place.path(), place.clock.clone()).unwrap();
    control.set_maintenance(Some("new disk".into())).await.unwrap();
    let refused = spool.enqueue(event("a", "2", "{}")).await.unwrap_err();
    assert_eq!(refused, SpoolError::Maintenance { reason: "new disk".into() });
    assert!(spool.enqueue(event("a", "1", "{\"of\":\"1\"}")).await.unwrap().known);
    assert_eq!(lease(&spool, 9).await.leased.len(), 1);
    control.set_maintenance(None).await.unwrap();
    assert!(!spool.enqueue(event("a", "2", "{}")).await.unwrap().known);
}

#[tokio::test]
async fn a_spool_that_is_not_there_is_not_taken_in_hand() {
    let place = Place::new();
    assert!(SpoolControl::open(&place.path(), place.clock.clone()).is_err());
    assert!(!place.path().exists());
}
