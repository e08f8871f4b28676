//! What somebody forges who has the file and not the keys, with a key to wrap with and without.

use local_vault::protocol::PublicKey;
use local_vault::protocol::witness::Submission;
use local_vault::witness::{Request, Setup, Verdict, What, Witness, WitnessError};

use super::custody;
use super::place::{Place, accepted, incident, replayed};
use super::witness::{checkpoint, rival};

/// Changes the file of a state; one with two checkpoints where there is none yet.
async fn forged(place: &Place, sql: &str) {
    if !place.path().exists() {
        place.accept(&[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    }
    let db = rusqlite::Connection::open(place.path()).unwrap();
    assert!(db.execute_batch(sql).is_ok(), "{sql}");
}

/// Everything that would let a rival in, or somebody else.
const FORGERIES: [&str; 9] = [
    "UPDATE streams SET seq_no = 1, checkpoint_id = 'chk_1', checkpoint_hash = printf('%064x', 1)",
    "UPDATE streams SET origin = 1",
    "UPDATE streams SET is_floor = 1",
    "UPDATE streams SET submitter = 'mallory'",
    "UPDATE receipts SET n = n + 100; DELETE FROM receipts; DELETE FROM streams",
    "UPDATE state SET last_time = 0",
    "UPDATE state SET stopped = NULL, count = count - 1",
    "DELETE FROM records WHERE n = (SELECT max(n) FROM records)",
    "UPDATE records SET body = x'7b7d' WHERE n = (SELECT max(n) FROM records)",
];

#[tokio::test]
async fn a_row_that_somebody_changed_is_found_before_anything_is_signed() {
    for place in [|| Place::new(), || Place::new().unsealed(), || Place::with_floor()] {
        for sql in FORGERIES {
            let place = place();
            let sql = format!("PRAGMA foreign_keys = OFF; {sql}");
            forged(&place, &sql).await;
            assert_eq!(incident(place.open()), What::StateDamaged, "{sql}");
        }
    }
}

/// Each forgery alone was seen at the start; what is read later is authenticated when it is read.
#[tokio::test]
async fn an_old_record_that_somebody_changed_is_never_answered_with() {
    let place = Place::new();
    forged(&place, "UPDATE records SET body = CAST(replace(CAST(body AS TEXT), 'lwr_', 'lwx_') AS BLOB) WHERE n = 2")
        .await;
    for submission in [checkpoint(1, None), rival(1, None)] {
        let refused = place.submit(&submission).await;
        assert!(matches!(refused, Err(WitnessError::Damaged(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn who_asks_for_a_damaged_record_keeps_nobody_else_from_theirs() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    let db = rusqlite::Connection::open(place.path()).unwrap();
    db.execute("UPDATE records SET mac = zeroblob(32) WHERE n = 2", []).unwrap();
    let (desk, closing) = place.open().unwrap();
    let submit = |submission| desk.submit(Request::new(submission, "operator"));
    let other = Submission { stream_id: "str_2".into(), ..checkpoint(1, None) };
    let (damaged, next, of_another) =
        tokio::join!(submit(checkpoint(1, None)), submit(checkpoint(3, Some(2))), submit(other));
    assert!(matches!(damaged, Err(WitnessError::Damaged(_))), "{damaged:?}");
    for verdict in [next, of_another, submit(checkpoint(4, Some(3))).await] {
        accepted(verdict);
    }
    closing.close(desk).await;
}

/// Who submits an accepted checkpoint again is never called a forger, because a row is gone that nothing signs.
#[tokio::test]
async fn a_receipt_whose_row_is_gone_makes_no_evidence_against_who_was_honest() {
    for change in ["DELETE FROM receipts", "UPDATE receipts SET seq_no = seq_no + 7", "UPDATE receipts SET origin = 7"]
    {
        for n in 1..=4 {
            let place = Place::new();
            place.accept(&[checkpoint(1, None), checkpoint(2, Some(1)), checkpoint(4, Some(2))]).await;
            forged(&place, &format!("{change} WHERE seq_no = {n}")).await;
            let verdict = place.submit(&checkpoint(n, (n > 1).then_some(n - 1))).await;
            match n {
                // That number was left out, and who comes with it now is late.
                3 => assert!(matches!(verdict, Ok(Verdict::Forked(_))), "{change} {n}: {verdict:?}"),
                _ => assert!(matches!(verdict, Err(WitnessError::Damaged(_))), "{change} {n}: {verdict:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_sealed_state_does_not_open_without_its_key() {
    let place = Place::new();
    let first = place.accept(&[checkpoint(1, None)]).await.remove(0);
    let refused = Witness::open(&place.path(), Setup { wrapping: None, ..place.setup() });
    assert!(matches!(refused, Err(WitnessError::NoWrappingKey)), "{refused:?}");
    let other = Some(custody::spool_keys(8).wrapping);
    let refused = Witness::open(&place.path(), Setup { wrapping: other, ..place.setup() });
    assert!(matches!(refused, Err(WitnessError::Custody(_) | WitnessError::Incident(_))), "{refused:?}");
    assert_eq!(replayed(place.submit(&checkpoint(1, None)).await), first);
}

#[tokio::test]
async fn a_state_whose_seal_was_stripped_is_not_believed() {
    let place = Place::new();
    forged(&place, "UPDATE state SET wrapped = NULL, nonce = NULL, sealed = NULL").await;
    let refused = place.open();
    assert!(matches!(refused, Err(WitnessError::Unauthenticated)), "{refused:?}");
    // Nor without the key, which is what whoever stripped it hopes for: its MACs are those of a secret.
    let refused = Witness::open(&place.path(), Setup { wrapping: None, ..place.setup() });
    assert_eq!(incident(refused), What::StateDamaged);
}

#[tokio::test]
async fn a_state_that_was_begun_without_a_key_is_not_believed_where_there_is_one() {
    let place = Place::new();
    let unsealed = Setup { wrapping: None, ..place.setup() };
    let first = super::witness::submit(&place.path(), unsealed, &checkpoint(1, None)).await;
    assert!(matches!(first, Ok(Verdict::Accepted(_))));
    assert!(matches!(place.open(), Err(WitnessError::Unauthenticated)));
}

/// The key that signs is named in the state: nobody without custody puts another one there.
#[tokio::test]
async fn a_key_that_somebody_wrote_into_the_state_is_found() {
    let place = Place::new();
    let (own, other) = (place.key.public_key().to_hex(), custody::signing_key(8).public_key().to_hex());
    assert!(PublicKey::from_hex(&other).is_ok());
    forged(&place, &format!("UPDATE state SET keys = replace(keys, '{own}', '{other}')")).await;
    assert_eq!(incident(place.open()), What::StateDamaged);
}
