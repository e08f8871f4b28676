//! A spool of version 1 becomes one of version 2, and nothing of it is lost.

use local_vault::epochs;
use local_vault::spool::{Filter, State};
use rusqlite::Connection;

use super::support::{Place, event, fill, lease, lease_one, receipted, refs, settle};

/// The tables of version 1, and what leads from version 2 back to them.
const V1: &str = include_str!("../../src/spool/schema/v1.sql");

#[tokio::test]
async fn a_spool_of_version_1_keeps_its_events_its_answers_and_its_order() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    fill(&spool, "b", &["4"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    lease(&spool, 9).await;
    let (before, answer) = (place.events(), place.reader().answer(&first.event).unwrap());
    drop(spool);
    back_to_version_1(&place);

    let spool = place.open();
    assert_eq!(place.events(), before);
    assert_eq!(place.reader().answer(&before[0]).unwrap(), answer);
    assert_eq!(before[0].state, State::Receipted);
    assert_eq!(**spool.payload(first.event.event_id).await.unwrap().unwrap(), *b"{\"of\":\"1\"}");
    assert_eq!(spool.recover().await.unwrap(), 2);
    assert_eq!(refs(&lease(&spool, 9).await), ["2", "4"]);
    // The tombstones are the same, and a place in the order is not given twice.
    assert!(spool.enqueue(event("a", "1", "{\"of\":\"1\"}")).await.unwrap().known);
    fill(&spool, "a", &["5"]).await;
    let last = place.events().pop().unwrap();
    assert_eq!((last.seq, last.source_ref.as_str()), (5, "5"));
    let mut check = spool.start_check().unwrap();
    // The answers of these tests are none: what was not moved rightly would show besides.
    let damaged = check.next(100).unwrap().unwrap().damaged;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!(check.finish(true).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn places_in_the_order_are_not_given_twice_where_nothing_was_left_to_send() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    for _ in 0..2 {
        let leased = lease_one(&spool).await;
        settle(&spool, &leased, receipted(&leased)).await;
    }
    drop(spool);
    back_to_version_1(&place);
    let spool = place.open();
    fill(&spool, "a", &["3"]).await;
    let events = place.reader().list(&Filter { limit: 9, ..Filter::default() }).unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Writes the spool anew as version 1 had it.
fn back_to_version_1(place: &Place) {
    let old = place.folder.path().join("v1.sqlite3");
    let db = Connection::open(&old).unwrap();
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    db.pragma_update(None, "application_id", 0x4c56_5350).unwrap();
    db.execute_batch(&format!("{}{V1}", epochs::TABLE)).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    let columns = "seq, event_id, stream, source_ref, state, attempt, failures, created_at, payload_sha256, \
                   payload_size, epoch, nonce, sealed, last_error";
    let copy = format!(
        "ATTACH '{}' AS new;
         INSERT INTO spool SELECT * FROM new.spool;
         INSERT INTO epochs SELECT * FROM new.epochs;
         INSERT INTO streams SELECT stream, name, ready_at FROM new.streams;
         INSERT INTO tombstones SELECT * FROM new.tombstones;
         INSERT INTO events ({columns}) SELECT {columns} FROM new.events JOIN new.contents USING (seq);
         INSERT INTO events ({columns}) SELECT {columns} FROM new.settled JOIN new.contents USING (seq);
         INSERT INTO answers SELECT seq, installation_id, sent_attempt, signed_at, signature, public_key, status, body,
                                    received_at FROM new.settled WHERE body IS NOT NULL;
         UPDATE totals SET (events, bytes) = (SELECT t.events, t.bytes FROM new.totals t WHERE t.state = totals.state);",
        place.path().display()
    );
    db.execute_batch(&copy).unwrap();
    drop(db);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", place.path().display()));
    }
    std::fs::rename(&old, place.path()).unwrap();
}
