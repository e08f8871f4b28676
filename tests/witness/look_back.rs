//! A submitter shows what this witness signed, and the state does not know it.

use local_vault::facts::Clock as _;
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::Submission;
use local_vault::witness::{Change, Request, Verdict, What, WitnessError};

use super::place::{Place, Signed, accepted, copy, incident, replayed};
use super::witness::{checkpoint, rival};

/// A witness whose state was restored to before number 3, and the receipts that it gave of all three.
async fn restored() -> (Place, Vec<Object>) {
    let place = Place::new();
    let mut receipts = place.accept(&[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    copy(&place.state(), &place.aside("old"));
    receipts.extend(place.accept(&[checkpoint(3, Some(2))]).await);
    copy(&place.aside("old"), &place.state());
    (place, receipts)
}

fn with(submission: Submission, known: &Object) -> Request {
    Request { known: vec![known.clone()], ..Request::new(submission, "operator") }
}

async fn submit(place: &Place, request: Request) -> Result<Verdict, WitnessError> {
    super::witness::submit_request(&place.path(), place.setup(), request).await
}

async fn allow(place: &Place, what: What) -> Result<(), WitnessError> {
    let (desk, closing) = place.open().unwrap();
    let allowed = Change::Accept { what, allowed_by: "ann".into(), reason: "restored from a copy".into() };
    let changed = desk.change(allowed).await;
    closing.close(desk).await;
    changed
}

#[tokio::test]
async fn a_receipt_of_ours_that_the_state_does_not_know_stops_it_until_somebody_allows_that_by_name() {
    let (place, receipts) = restored().await;
    let stopped = submit(&place, with(rival(3, Some(2)), &receipts[2])).await;
    assert_eq!(incident(stopped), What::OwnSignatureAhead);
    // For everybody, and for the next process too.
    for submission in [checkpoint(1, None), checkpoint(4, Some(3)), rival(3, Some(2))] {
        assert_eq!(place.submit(&submission).await, Err(WitnessError::Stopped("own-signature-ahead".into())));
    }
    for other in [What::RolledBack, What::StateDamaged, What::StateLost] {
        assert!(matches!(allow(&place, other).await, Err(WitnessError::Change(_))));
        assert!(matches!(place.submit(&checkpoint(1, None)).await, Err(WitnessError::Stopped(_))));
    }
    allow(&place, What::OwnSignatureAhead).await.unwrap();
    assert_eq!(replayed(place.submit(&checkpoint(1, None)).await), receipts[0]);
    let again = allow(&place, What::OwnSignatureAhead).await;
    assert!(matches!(again, Err(WitnessError::Change(_))), "{again:?}");
}

#[tokio::test]
async fn what_was_shown_and_where_the_state_stood_are_both_kept() {
    let (place, receipts) = restored().await;
    submit(&place, with(checkpoint(4, Some(3)), &receipts[2])).await.unwrap_err();
    let db = rusqlite::Connection::open(place.path()).unwrap();
    let body: Vec<u8> = db.query_row("SELECT body FROM records WHERE kind = 'incident'", [], |row| row.get(0)).unwrap();
    let body = local_vault::protocol::json::parse(&body).unwrap();
    assert_eq!(body.get_object("receipt"), Some(&receipts[2]));
    assert_eq!(body.get("head_seq_no").and_then(|n| n.as_i64()), Some(2));
}

/// Once it was allowed, that receipt is among what the witness knows: it does not stop it again, and its rival is none
/// that could be accepted.
#[tokio::test]
async fn behind_a_receipt_that_was_allowed_the_stream_goes_on_and_its_rival_is_a_fork() {
    let (place, receipts) = restored().await;
    let mut signed = Signed::default();
    receipts.iter().for_each(|receipt| signed.see(receipt, &place.key));
    submit(&place, with(checkpoint(4, Some(3)), &receipts[2])).await.unwrap_err();
    allow(&place, What::OwnSignatureAhead).await.unwrap();
    let rival = submit(&place, with(rival(3, Some(2)), &receipts[2])).await;
    assert!(matches!(rival, Ok(Verdict::Forked(_))), "{rival:?}");
    signed.see(&accepted(submit(&place, with(checkpoint(4, Some(3)), &receipts[2])).await), &place.key);
    assert_eq!(signed.forks(), 0);
}

#[tokio::test]
async fn a_receipt_that_the_state_knows_is_fine() {
    let place = Place::new();
    let receipts = place.accept(&[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    for receipt in &receipts {
        replayed(submit(&place, with(checkpoint(2, Some(1)), receipt)).await);
    }
    accepted(submit(&place, with(checkpoint(3, Some(2)), &receipts[0])).await);
}

#[tokio::test]
async fn a_receipt_of_somebody_else_or_that_does_not_verify_is_nobodys_concern() {
    let other = Place::new().with_key(8);
    let foreign = other.accept(&[checkpoint(1, None), checkpoint(5, Some(1))]).await.remove(1);
    let (place, receipts) = restored().await;
    let bytes = receipts[2].to_canonical();
    let text = String::from_utf8(bytes).unwrap();
    let forged = text.replace(&format!("{:064x}", 3), &format!("{:064x}", 4));
    assert_ne!(forged, text);
    let forged = local_vault::protocol::json::parse(forged.as_bytes()).unwrap();
    for known in [foreign, forged, Object::new()] {
        replayed(submit(&place, with(checkpoint(2, Some(1)), &known)).await);
    }
}

#[tokio::test]
async fn a_receipt_of_a_stream_that_the_state_does_not_know_at_all_stops_it() {
    let place = Place::new();
    place.accept(&[checkpoint(1, None)]).await;
    copy(&place.state(), &place.aside("old"));
    let other = Submission { stream_id: "str_2".into(), ..checkpoint(1, None) };
    let receipts = place.accept(std::slice::from_ref(&other)).await;
    copy(&place.aside("old"), &place.state());
    assert_eq!(incident(submit(&place, with(other, &receipts[0])).await), What::OwnSignatureAhead);
}

/// A witness that lost numbers 3 and 4, and was let go on behind the first of them that somebody showed.
async fn allowed() -> (Place, Vec<Object>) {
    let (place, mut receipts) = restored().await;
    copy(&place.state(), &place.aside("restored"));
    receipts.extend(place.accept(&[checkpoint(3, Some(2)), checkpoint(4, Some(3))]).await.pop());
    copy(&place.aside("restored"), &place.state());
    let stopped = submit(&place, with(checkpoint(1, None), &receipts[2])).await;
    assert_eq!(incident(stopped), What::OwnSignatureAhead);
    allow(&place, What::OwnSignatureAhead).await.unwrap();
    (place, receipts)
}

/// What another machine signs a little later, which has the state and the key too.
async fn elsewhere(place: &Place, submission: &Submission) -> Object {
    copy(&place.state(), &place.aside("clone"));
    let times = super::witness::Told::at(local_vault::facts::SystemClock.now().plus_millis(1000));
    let setup = local_vault::witness::Setup { times, ..place.setup() };
    let path = place.aside("clone").join("witness.sqlite3");
    accepted(super::witness::submit(&path, setup, submission).await)
}

#[tokio::test]
async fn what_was_lost_beside_it_stops_nobody_again_and_is_a_floor_too() {
    let (place, receipts) = allowed().await;
    let rival = submit(&place, with(rival(4, Some(3)), &receipts[3])).await;
    assert!(matches!(rival, Ok(Verdict::Forked(_))), "{rival:?}");
    accepted(submit(&place, with(checkpoint(5, Some(4)), &receipts[3])).await);
}

#[tokio::test]
async fn what_was_lost_and_contradicts_what_was_witnessed_since_stops_it() {
    let (place, receipts) = allowed().await;
    let rival = submit(&place, Request::new(super::witness::rival(4, Some(3)), "operator")).await;
    accepted(rival);
    let stopped = submit(&place, with(checkpoint(1, None), &receipts[3])).await;
    assert_eq!(incident(stopped), What::OwnSignatureAhead);
}

#[tokio::test]
async fn what_is_signed_with_the_key_after_the_operators_word_stops_it() {
    let (place, _) = allowed().await;
    let signed = elsewhere(&place, &checkpoint(4, Some(3))).await;
    assert_eq!(incident(submit(&place, with(checkpoint(1, None), &signed)).await), What::OwnSignatureAhead);
}

/// An operator's word about one receipt says nothing about an earlier one, for which the stream was begun anew.
#[tokio::test]
async fn a_stream_that_was_begun_anew_stays_so_when_something_else_is_allowed() {
    let (place, _) = allowed().await;
    let stream = local_vault::witness::StreamName::from(&checkpoint(1, None));
    let first = checkpoint(1, None);
    let head = local_vault::protocol::witness::Head {
        checkpoint_id: first.checkpoint_id,
        checkpoint_seq_no: 1,
        checkpoint_hash: first.checkpoint_hash,
    };
    let (desk, closing) = place.open().unwrap();
    let (allowed_by, reason) = ("ann".to_owned(), "their database was restored".to_owned());
    desk.change(Change::Reoriginate { stream, head, allowed_by, reason }).await.unwrap();
    closing.close(desk).await;
    let other = Submission { stream_id: "str_2".into(), ..checkpoint(1, None) };
    let shown = elsewhere(&place, &other).await;
    assert_eq!(incident(submit(&place, with(checkpoint(1, None), &shown)).await), What::OwnSignatureAhead);
    allow(&place, What::OwnSignatureAhead).await.unwrap();
    accepted(place.submit(&rival(2, Some(1))).await);
}
