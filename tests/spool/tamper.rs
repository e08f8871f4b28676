use local_vault::spool::{SpoolError, State};
use rusqlite::params;

use super::custody::secrets;
use super::support::{Place, bytes_in, event, fill, lease, refs};

/// What somebody with the disk in hand may write over the first event, which is `a1`.
const EDITS: [&str; 19] = [
    "UPDATE events SET source_ref = 'other' WHERE seq = 1",
    "UPDATE events SET source_ref = CAST(x'ff' AS TEXT) WHERE seq = 1",
    "UPDATE events SET event_id = randomblob(16) WHERE seq = 1",
    "UPDATE events SET event_id = x'00' WHERE seq = 1",
    "UPDATE events SET payload_sha256 = zeroblob(32) WHERE seq = 1",
    "UPDATE events SET payload_sha256 = x'00' WHERE seq = 1",
    "UPDATE events SET payload_size = payload_size + 1 WHERE seq = 1",
    "UPDATE events SET payload_size = 0x7fffffffffffffff WHERE seq = 1",
    "UPDATE events SET payload_size = -1 WHERE seq = 1",
    "UPDATE events SET created_at = created_at + 1 WHERE seq = 1",
    "UPDATE events SET created_at = -1 WHERE seq = 1",
    "UPDATE events SET epoch = 2 WHERE seq = 1",
    "UPDATE events SET epoch = 99 WHERE seq = 1",
    "UPDATE events SET epoch = -1 WHERE seq = 1",
    "UPDATE contents SET nonce = x'' WHERE seq = 1",
    "UPDATE contents SET sealed = x'' WHERE seq = 1",
    "UPDATE events SET attempt = 0xffffffff WHERE seq = 1",
    "UPDATE events SET stream = 2 WHERE seq = 1",
    "UPDATE contents SET (nonce, sealed) = (SELECT nonce, sealed FROM contents WHERE seq = 3) WHERE seq = 1",
];

#[tokio::test]
async fn an_edited_event_is_set_aside_and_everything_else_flows() {
    for edit in EDITS {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["a1", "a2"]).await;
        fill(&spool, "b", &["b1"]).await;
        spool.rotate().await.unwrap();
        assert_eq!(place.raw().execute(edit, []).unwrap(), 1, "{edit}");

        let turn = lease(&spool, 9).await;
        assert_eq!((turn.damaged.len(), turn.damaged[0].seq, turn.damaged[0].state), (1, 1, State::Dead), "{edit}");
        let mut sent = refs(&turn);
        sent.sort_unstable();
        assert_eq!(sent, ["a2", "b1"], "{edit}");
        let found: (i64, String) =
            place.raw().query_row("SELECT state, last_error FROM settled WHERE seq = 1", [], |r| r.try_into()).unwrap();
        assert_eq!(found, (State::Dead as i64, "payload-drift".into()), "{edit}");
        // The reader still reads, and the dead one is never sent again.
        place.reader().totals().unwrap();
        spool.recover().await.unwrap();
        assert_eq!(lease(&spool, 9).await.damaged, []);
    }
}

#[tokio::test]
async fn a_renamed_stream_sends_nothing_under_its_new_name() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1"]).await;
    for name in ["'z'", "CAST(x'ff' AS TEXT)"] {
        place.raw().execute(&format!("UPDATE streams SET name = {name} WHERE stream = 1"), []).unwrap();
    }
    let turn = lease(&spool, 9).await;
    assert_eq!((turn.damaged.len(), refs(&turn)), (2, vec!["b1"]));
}

#[tokio::test]
async fn a_turn_stays_short_however_many_events_are_damaged() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3", "4", "5"]).await;
    place.raw().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq < 5", []).unwrap();
    let turn = lease(&spool, 3).await;
    assert_eq!((turn.damaged.len(), refs(&turn)), (3, vec![]));
    let turn = lease(&spool, 3).await;
    assert_eq!((turn.damaged.len(), refs(&turn)), (1, vec!["5"]));
    let states: Vec<_> = place.events().iter().map(|event| event.state).collect();
    assert_eq!(states, [State::Dead, State::Dead, State::Dead, State::Dead, State::Relaying]);
}

#[tokio::test]
async fn every_flipped_bit_of_a_record_shows() {
    let place = Place::new();
    let spool = place.open();
    let id = spool.enqueue(event("a", "r", "{}")).await.unwrap().event_id;
    let db = place.raw();
    for (table, column) in [("contents", "nonce"), ("contents", "sealed"), ("events", "payload_sha256")] {
        let stored: Vec<u8> = db.query_row(&format!("SELECT {column} FROM {table}"), [], |row| row.get(0)).unwrap();
        let set = format!("UPDATE {table} SET {column} = ?1");
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            db.execute(&set, params![flipped]).unwrap();
            let refused = spool.payload(id).await.unwrap_err();
            assert_eq!(refused, SpoolError::Tampered { event_id: id }, "{column}, bit {bit}");
        }
        db.execute(&set, params![stored]).unwrap();
    }
    assert_eq!(**spool.payload(id).await.unwrap().unwrap(), *b"{}");
}

#[tokio::test]
async fn an_event_of_another_spool_with_the_same_key_does_not_open() {
    let (here, there) = (Place::new(), Place::new());
    let spool = here.open();
    fill(&spool, "a", &["1"]).await;
    fill(&there.open(), "a", &["1"]).await;
    here.raw()
        .execute_batch(&format!(
            "ATTACH '{}' AS there;
             UPDATE events SET (event_id, payload_sha256, created_at) =
                 (SELECT event_id, payload_sha256, created_at FROM there.events);
             UPDATE contents SET (nonce, sealed) = (SELECT nonce, sealed FROM there.contents)",
            there.path().display()
        ))
        .unwrap();
    assert_eq!(lease(&spool, 9).await.damaged.len(), 1);
}

#[tokio::test]
async fn nothing_of_a_payload_and_no_key_lies_on_the_disk() {
    let place = Place::new();
    let spool = place.open();
    let secret = "the payload that nobody may read";
    let id = spool.enqueue(event("a", "r", &format!("{{\"secret\":\"{secret}\"}}"))).await.unwrap().event_id;
    spool.rotate().await.unwrap();
    spool.enqueue(event("a", "r2", &format!("{{\"again\":\"{secret}\"}}"))).await.unwrap();
    lease(&spool, 9).await;
    spool.payload(id).await.unwrap();
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let look = |name: &str| {
        let files = bytes_in(place.folder.path());
        assert!(files.iter().any(|(n, bytes)| n == name && holds(bytes, b"r2")), "{name} was not looked at");
        for (name, bytes) in files {
            assert!(!holds(&bytes, &secret.as_bytes()[..16]), "{name}");
            for (what, key) in secrets(1, 1) {
                assert!(!holds(&bytes, &key), "{what} is in {name}");
            }
        }
    };
    look("spool.sqlite3-wal");
    drop(spool);
    look("spool.sqlite3");
}
