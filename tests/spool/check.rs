//! A look at everything finds what was changed, and what cannot be sent is set aside with a signed record.

use local_vault::protocol::gap::GapRecord;
use local_vault::protocol::json;
use local_vault::spool::{Damaged, Spool, State};

use super::custody::spool_keys;
use super::support::{Place, fill, judged, lease, lease_one, receipted, refs, settle};

fn damaged(spool: &Spool) -> Vec<Damaged> {
    let mut check = spool.start_check().unwrap();
    let mut found = Vec::new();
    while let Some(checked) = check.next(2).unwrap() {
        found.extend(checked.damaged);
    }
    found
}

fn whole(spool: &Spool) -> Vec<String> {
    spool.start_check().unwrap().finish(true).unwrap()
}

#[tokio::test]
async fn a_spool_that_nobody_touched_is_whole() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    fill(&spool, "b", &["4"]).await;
    lease(&spool, 1).await;
    assert_eq!((damaged(&spool), whole(&spool)), (vec![], vec![]));
}

#[tokio::test]
async fn every_edit_of_an_event_is_found_and_named() {
    let edits = [
        ("UPDATE contents SET sealed = zeroblob(40) WHERE seq = 2", "does not open"),
        ("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 2", "does not open"),
        ("UPDATE events SET payload_sha256 = zeroblob(32) WHERE seq = 2", "does not open"),
        ("UPDATE events SET source_ref = 'x' WHERE seq = 2", "does not open"),
        ("DELETE FROM contents WHERE seq = 2", "is gone"),
        ("DELETE FROM tombstones WHERE event_id = (SELECT event_id FROM events WHERE seq = 2)", "not kept"),
    ];
    for (edit, what) in edits {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["1", "2", "3"]).await;
        assert!(place.raw().execute(edit, []).unwrap() > 0);
        let found = damaged(&spool);
        assert_eq!(found.len(), 1, "{edit}");
        assert!(found[0].event.seq == 2 && found[0].what.contains(what), "{edit}: {}", found[0].what);
    }
}

#[tokio::test]
async fn what_does_not_agree_as_a_whole_is_named() {
    let edits = [
        ("UPDATE totals SET events = 9 WHERE state = 0", "the total says 9"),
        ("INSERT INTO contents VALUES (99, x'00', x'00')", "belong to no event"),
        ("UPDATE streams SET ready_at = NULL", "nothing wakes them"),
        ("INSERT INTO streams (name, ready_at) VALUES ('empty', 1)", "have no event"),
        ("UPDATE totals SET events = -1 WHERE state = 2", "0 events are receipted, and the total says -1"),
        ("UPDATE totals SET bytes = 9 WHERE state = 0", "10 bytes of payload are queued, and the total says 9"),
        ("UPDATE totals SET contents = 0 WHERE state = 0", "the content of 1 events is kept"),
        ("DELETE FROM totals WHERE state = 4", "the total says nothing"),
        ("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'events'", "2 events are gone"),
        ("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'events'", "was never given"),
    ];
    for (edit, what) in edits {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["1"]).await;
        place.raw().execute(edit, []).unwrap();
        let found = whole(&spool);
        assert!(found.len() == 1 && found[0].contains(what), "{edit}: {found:?}");
    }
}

#[tokio::test]
async fn an_event_that_was_taken_out_with_all_its_rows_leaves_a_hole() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let take_out = |table: &str, seq: i64| {
        let state = if table == "settled" { 2 } else { 0 };
        let sql = format!(
            "DELETE FROM {table} WHERE seq = {seq}; DELETE FROM contents WHERE seq = {seq};
             UPDATE totals SET events = events - 1, bytes = bytes - 10, contents = contents - 1 WHERE state = {state}"
        );
        place.raw().execute_batch(&sql).unwrap();
    };
    take_out("settled", 1);
    let gone = |n: usize| format!("{n} events are gone: their places in the order were given, and nothing lies there");
    assert_eq!(whole(&spool), [gone(1)]);
    take_out("events", 3);
    assert_eq!(whole(&spool), [gone(2)], "the last one too");
}

#[tokio::test]
async fn a_delivered_event_whose_answer_is_gone_is_found() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    place.clock.advance(1);
    let first = lease_one(&spool).await;
    settle(&spool, &first, receipted(&first)).await;
    let second = lease_one(&spool).await;
    settle(&spool, &second, judged(None)).await;
    let changed = place.raw().execute("UPDATE settled SET body = NULL, public_key = NULL WHERE seq = 1", []).unwrap();
    assert_eq!(changed, 1);
    let found = damaged(&spool);
    // The dead one never had any.
    assert_eq!((found.len(), found[0].event.seq, found[0].what), (1, 1, "its answer is gone"));
    // Nor does it pass as one that was imported, where nothing ever was.
    place.raw().execute("UPDATE settled SET settled_at = created_at WHERE seq = 1", []).unwrap();
    assert_eq!(damaged(&spool).len(), 1);
}

#[tokio::test]
async fn a_damaged_event_leaves_a_signed_record_in_its_place_and_the_rest_flows() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    place.raw().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 1", []).unwrap();
    let event = damaged(&spool).remove(0).event;
    assert!(!spool.quarantine(2).await.unwrap(), "what opens stays where it is");
    assert!(spool.quarantine(event.seq).await.unwrap());
    assert!(!spool.quarantine(event.seq).await.unwrap());

    let aside = place.events().remove(0);
    assert_eq!((aside.state, aside.attempt), (State::Dead, 0));
    let (record, signature) = place.reader().gap(&aside).unwrap().unwrap();
    let record = GapRecord::from_object(&json::parse(&record).unwrap()).unwrap();
    assert_eq!((record.seq, &record.event_id), (1, &aside.event_id.to_string()));
    spool_keys(1).record.public_key().verify(&record.preimage(), &signature).unwrap();
    assert_eq!(refs(&lease(&spool, 9).await), ["2"]);
    assert_eq!((damaged(&spool), whole(&spool)), (vec![], vec![]), "it was told of, and is no news");

    for edit in ["source_ref = 'x'", "attempt = 7", "payload_sha256 = zeroblob(32)", "event_id = zeroblob(16)"] {
        let tx = place.raw();
        let row: (String, i64, Vec<u8>, Vec<u8>) = tx
            .query_row("SELECT source_ref, attempt, payload_sha256, event_id FROM settled WHERE seq = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap();
        tx.execute(&format!("UPDATE settled SET {edit} WHERE seq = 1"), []).unwrap();
        assert_eq!(damaged(&spool)[0].what, "the record in its place says something else than its row", "{edit}");
        let sql = "UPDATE settled SET source_ref = ?1, attempt = ?2, payload_sha256 = ?3, event_id = ?4 WHERE seq = 1";
        tx.execute(sql, rusqlite::params![row.0, row.1, row.2, row.3]).unwrap();
        assert_eq!(damaged(&spool), []);
    }
    place.raw().execute("UPDATE gaps SET signature = zeroblob(64)", []).unwrap();
    assert!(damaged(&spool)[0].what.contains("not signed by the record key"));
}

#[tokio::test]
async fn what_is_set_aside_beside_a_send_neither_wakes_its_stream_nor_unsettles_the_totals() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    let first = lease_one(&spool).await;
    place.raw().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 2", []).unwrap();
    let damaged = damaged(&spool).remove(0).event;
    assert!(spool.quarantine(damaged.seq).await.unwrap());
    assert_eq!(refs(&lease(&spool, 9).await), Vec::<&str>::new(), "the first is still out");
    settle(&spool, &first, receipted(&first)).await;
    assert_eq!(lease_one(&spool).await.event.source_ref, "3");
    place.events();
    assert_eq!(whole(&spool), Vec::<String>::new());
}

#[tokio::test]
async fn a_stream_that_is_released_while_something_of_it_is_out_sends_nothing_beside_it() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    let first = lease_one(&spool).await;
    place.raw().execute("UPDATE streams SET stopped_at = 1, stop_reason = 'x'", []).unwrap();
    assert!(spool.control().release("a").await.unwrap());
    assert_eq!(refs(&lease(&spool, 9).await), Vec::<&str>::new());
    settle(&spool, &first, receipted(&first)).await;
    assert_eq!(lease_one(&spool).await.event.source_ref, "2");
}

/// What somebody with the file can do to one row, against every rule of the tables.
const EDITS: [&str; 11] = [
    "UPDATE events SET state = 7 WHERE seq = 1",
    "UPDATE events SET created_at = NULL WHERE seq = 1",
    "UPDATE events SET created_at = 1.5 WHERE seq = 1",
    "UPDATE events SET source_ref = NULL WHERE seq = 1",
    "UPDATE events SET payload_size = NULL WHERE seq = 1",
    "UPDATE events SET payload_sha256 = 'text' WHERE seq = 1",
    "UPDATE events SET event_id = x'00' WHERE seq = 1",
    "UPDATE contents SET nonce = 'text' WHERE seq = 1",
    "DELETE FROM contents WHERE seq = 1",
    "UPDATE events SET stream = 99 WHERE seq = 1",
    "DELETE FROM events WHERE seq = 1",
];

#[tokio::test]
async fn one_damaged_row_of_any_kind_stops_no_other_event() {
    for edit in EDITS {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["1", "2"]).await;
        fill(&spool, "b", &["3"]).await;
        drop(spool);
        against_all_rules(&place, edit);
        let spool = place.open();
        let mut sent = Vec::new();
        for _ in 0..4 {
            let turn = lease(&spool, 9).await;
            for leased in &turn.leased {
                sent.push(leased.event.source_ref.clone());
                settle(&spool, leased, receipted(leased)).await;
            }
        }
        sent.retain(|source_ref| source_ref != "1");
        sent.sort();
        assert_eq!(sent, ["2", "3"], "{edit}");
        // A look at it ends, whatever it finds.
        damaged(&spool);
        whole(&spool);
    }
}

/// Changes a row as a flipped bit would: types and constraints hold for statements alone.
fn against_all_rules(place: &Place, edit: &str) {
    let db = place.raw();
    db.pragma_update(None, "writable_schema", true).unwrap();
    let loosen = "UPDATE sqlite_master SET sql = replace(replace(sql, ' NOT NULL', ''), ') STRICT', ')')
                  WHERE type = 'table' AND name IN ('events', 'contents')";
    let kept: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_master WHERE name IN ('events', 'contents')")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    db.execute(loosen, []).unwrap();
    drop(db);
    assert!(place.raw().execute(edit, []).unwrap() > 0, "{edit}");
    let db = place.raw();
    db.pragma_update(None, "writable_schema", true).unwrap();
    for (name, sql) in kept {
        db.execute("UPDATE sqlite_master SET sql = ?2 WHERE name = ?1", [name, sql]).unwrap();
    }
}
