use local_vault::epochs::EpochError;
use local_vault::spool::{SpoolError, State};
use local_vault::store::StoreError;
use rusqlite::params;

use super::support::{Place, event, fill, hashes_in, lease, receipted, refs};

#[tokio::test]
async fn what_was_spooled_before_a_rotation_still_opens() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    assert_eq!(spool.rotate().await.unwrap(), 2);
    fill(&spool, "b", &["2"]).await;
    drop(spool);
    let spool = place.open();
    assert_eq!(spool.rotate().await.unwrap(), 3);
    fill(&spool, "c", &["3"]).await;
    assert_eq!(refs(&lease(&spool, 9).await), ["1", "2", "3"]);
    assert_eq!(place.events().iter().map(|event| event.epoch).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(place.reader().epochs().unwrap(), (3, 3));
    assert!(spool.enqueue(event("a", "1", "{\"of\":\"1\"}")).await.unwrap().known, "the tombstones moved along");
}

#[tokio::test]
async fn a_rotation_by_another_process_is_followed() {
    let place = Place::new();
    let (spool, other) = (place.open(), place.open());
    fill(&spool, "a", &["1"]).await;
    other.rotate().await.unwrap();
    fill(&spool, "a", &["2"]).await;
    assert_eq!(place.events().iter().map(|event| event.epoch).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(refs(&lease(&other, 9).await), ["1"]);
}

#[tokio::test]
async fn another_encryption_key_is_refused_by_name() {
    let place = Place::new();
    fill(&place.open(), "a", &["1"]).await;
    let before = hashes_in(place.folder.path());
    let refused = place.try_open(2).unwrap_err();
    assert!(matches!(refused, SpoolError::Epoch(EpochError::OtherKey { .. })), "{refused:?}");
    assert_eq!(hashes_in(place.folder.path()), before);
    assert_eq!(refs(&lease(&place.open(), 9).await), ["1"]);
}

#[test]
fn every_changed_byte_of_an_epoch_is_refused() {
    let place = Place::new();
    drop(place.open());
    let db = place.raw();
    for column in ["record", "signature", "wrapped", "nonce", "commitment"] {
        let stored: Vec<u8> = db.query_row(&format!("SELECT {column} FROM epochs"), [], |row| row.get(0)).unwrap();
        let set = format!("UPDATE epochs SET {column} = ?1");
        for byte in 0..stored.len() {
            let mut flipped = stored.clone();
            flipped[byte] ^= 1 << (byte % 8);
            db.execute(&set, params![flipped]).unwrap();
            let refused = place.try_open(1).unwrap_err();
            assert!(matches!(refused, SpoolError::Epoch(_)), "{column}, byte {byte}: {refused:?}");
        }
        db.execute(&set, params![stored]).unwrap();
    }
    place.try_open(1).unwrap();
}

#[test]
fn an_epoch_of_another_spool_with_the_same_key_is_refused() {
    let (here, there) = (Place::new(), Place::new());
    drop((here.open(), there.open()));
    let attach = format!("ATTACH '{}' AS there; DELETE FROM epochs", there.path().display());
    let db = here.raw();
    db.execute_batch(&attach).unwrap();
    db.execute("INSERT INTO epochs SELECT * FROM there.epochs", []).unwrap();
    let refused = here.try_open(1).unwrap_err();
    assert!(matches!(refused, SpoolError::Epoch(EpochError::Untrusted { epoch: 1, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_epoch_under_another_number_or_taken_away_is_refused() {
    let renumbered = "UPDATE epochs SET epoch = 9 WHERE epoch = 2";
    let doubled =
        "INSERT INTO epochs SELECT 3, record, signature, wrapped, nonce, commitment FROM epochs WHERE epoch = 1";
    // Going back to an earlier epoch would undo a rotation that a revocation may have asked for.
    let taken_away = "DELETE FROM epochs WHERE epoch = 2";
    for edit in [renumbered, doubled, taken_away, "DELETE FROM epochs"] {
        let place = Place::new();
        place.open().rotate().await.unwrap();
        place.raw().execute(edit, []).unwrap();
        let refused = place.try_open(1).unwrap_err();
        assert!(matches!(refused, SpoolError::Epoch(_)), "{edit}: {refused:?}");
    }
}

#[tokio::test]
async fn a_spool_that_lost_its_name_is_not_given_a_new_one() {
    let edits =
        ["DELETE FROM spool", "UPDATE spool SET spool_id = 'x'", "UPDATE spool SET index_sealed = zeroblob(48)"];
    for edit in edits {
        let place = Place::new();
        fill(&place.open(), "a", &["1"]).await;
        place.raw().execute(edit, []).unwrap();
        let refused = place.try_open(1).unwrap_err();
        let damaged = matches!(refused, SpoolError::Epoch(_) | SpoolError::Store(StoreError::Damaged(_)));
        assert!(damaged, "{edit}: {refused:?}");
        assert_eq!(place.reader().epochs().unwrap(), (1, 1));
    }
}

#[tokio::test]
async fn receipts_are_kept_while_an_epoch_is_in_doubt() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    spool.rotate().await.unwrap();
    let sent = lease(&spool, 1).await;
    place.raw().execute("UPDATE epochs SET signature = zeroblob(64) WHERE epoch = 1", []).unwrap();
    let settled = vec![(sent.leased[0].event.seq, receipted(&sent.leased[0]))];
    let turn = spool.turn(settled, 9).await.unwrap();
    let refused = turn.blocked;
    assert!(matches!(refused, Some(SpoolError::Epoch(EpochError::Untrusted { epoch: 1, .. }))), "{refused:?}");
    assert_eq!((turn.became[0].state, turn.leased.len()), (State::Receipted, 0));
    let events = place.events();
    assert!(place.reader().answer(&events[0]).unwrap().is_some());
    assert_eq!(events[1].attempt, 0, "waits, and is not dead");
    fill(&spool, "b", &["3"]).await;
}
