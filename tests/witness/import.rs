//! A database of the published package is taken over, whatever became of our own stream or of its heads meanwhile.

use std::path::PathBuf;

use local_vault::protocol::json::Object;
use local_vault::protocol::witness::Head;
use local_vault::witness::{Change, Imported, StreamName, Verdict, Witness};

use super::place::{Place, accepted, replayed};
use super::witness::{checkpoint, rival};

/// A published database that holds these receipts, and whose head is that of the first so many.
fn published(place: &Place, receipts: &[Object], head: usize) -> PathBuf {
    let path = place.aside("published.sqlite3");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TABLE witness_stream_state (witness_id, tenant_id, stream_id, checkpoint_id, checkpoint_seq_no,
                                            checkpoint_hash);
         CREATE TABLE witness_receipts (id, receipt_json);
         CREATE TABLE witness_fork_evidence (id, evidence_json);",
    )
    .unwrap();
    for receipt in receipts {
        let id = receipt.get_str("witness_receipt_id").unwrap();
        let json = String::from_utf8(receipt.to_canonical()).unwrap();
        db.execute("INSERT INTO witness_receipts VALUES (?1, ?2)", [id, &json]).unwrap();
    }
    if head > 0 {
        let [id, hash, witness, tenant, stream] =
            ["checkpoint_id", "checkpoint_hash", "witness_id", "tenant_id", "stream_id"]
                .map(|member| receipts[head - 1].get_str(member).unwrap());
        let number = receipts[head - 1].get("checkpoint_seq_no").and_then(|n| n.as_i64()).unwrap();
        let row = rusqlite::params![witness, tenant, stream, id, number, hash];
        db.execute("INSERT INTO witness_stream_state VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
    }
    path
}

/// What another state of this witness signed, as the published package would have: of numbers 1, 2 and 900.
async fn receipts() -> Vec<Object> {
    Place::new().accept(&[checkpoint(1, None), checkpoint(2, Some(1)), checkpoint(900, Some(2))]).await
}

fn import(place: &Place, source: &std::path::Path) -> Imported {
    let mut witness = Witness::open(&place.path(), place.setup()).unwrap();
    witness.import(source, &place.aside("scratch")).unwrap()
}

#[tokio::test]
async fn a_stream_that_was_begun_anew_stays_so_however_often_the_published_file_is_looked_at() {
    let (place, receipts) = (Place::new(), receipts().await);
    let source = published(&place, &receipts, 3);
    assert_eq!(import(&place, &source), Imported { heads: 1, receipts: 3, forks: 0 });
    let (desk, closing) = place.open().unwrap();
    let stream = StreamName::from(&checkpoint(1, None));
    let first = checkpoint(1, None);
    let head =
        Head { checkpoint_id: first.checkpoint_id, checkpoint_seq_no: 1, checkpoint_hash: first.checkpoint_hash };
    let (allowed_by, reason) = ("ann".to_owned(), "it jumped to 900".to_owned());
    desk.change(Change::Reoriginate { stream, head, allowed_by, reason }).await.unwrap();
    closing.close(desk).await;

    // As each start does, for as long as the published file lies there.
    assert_eq!(import(&place, &source), Imported::default());
    let (desk, closing) = place.open().unwrap();
    // Number 2 may be used again, and is no fork.
    let again = local_vault::witness::Request::new(rival(2, Some(1)), "operator");
    accepted(desk.submit(again).await);
    closing.close(desk).await;
    assert_eq!(import(&place, &source), Imported::default());
}

#[tokio::test]
async fn a_published_head_that_is_behind_its_receipts_or_gone_is_not_signed_on() {
    let receipts = receipts().await;
    for head in [0, 1] {
        let place = Place::new();
        let source = published(&place, &receipts, head);
        assert_eq!(import(&place, &source), Imported { heads: 1, receipts: 3, forks: 0 });
        let forked = place.submit(&checkpoint(901, Some(1))).await;
        assert!(matches!(forked, Ok(Verdict::Forked(_))), "{forked:?}");
        assert_eq!(replayed(place.submit(&checkpoint(900, Some(2))).await), receipts[2]);
        accepted(place.submit(&checkpoint(901, Some(900))).await);
    }
}
