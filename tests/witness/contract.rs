//! What the contract needs of the store: crashes, other keys, damaged rows.

use std::path::Path;
use std::sync::Arc;

use local_vault::custody::{CustodyError, ErrorKind, Protection, SharedSigningKey, Signer, SigningKey};
use local_vault::facts::Timestamp;
use local_vault::protocol::witness::{Rules, Submission, verify_fork_evidence, verify_receipt};
use local_vault::protocol::{Preimage, PublicKey, Signature};
use local_vault::store::StoreError;
use local_vault::witness::{Setup, Verdict, What, Witness, WitnessError, WitnessReader};
use tempfile::TempDir;

use super::custody;
use super::place::incident;
use super::witness::{self, AS_PUBLISHED, Told, checkpoint, rival, setup, submit};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LATER: Timestamp = Timestamp::from_millis(1_800_000_060_000);

#[tokio::test]
async fn a_checkpoint_whose_signature_a_crash_prevented_gets_it_when_it_comes_again() {
    let (_folder, path) = place();
    let away = at(NOW, signer(Arc::new(AwayKey(key()))));
    let refused = submit(&path, away, &checkpoint(1, None)).await;
    assert!(matches!(refused, Err(WitnessError::Sign(_))), "{refused:?}");

    let signer = signer(key());
    let again = submit(&path, at(LATER, signer.clone()), &checkpoint(1, None)).await.unwrap();
    let Verdict::Replayed(receipt) = again else { panic!("it was decided before") };
    // Over the bytes that were committed, with the time of the decision.
    assert_eq!(verify_receipt(&receipt, signer.public_key()).unwrap().accepted_at, NOW);
}

#[tokio::test]
async fn a_state_of_another_key_is_not_signed_on_with_this_one() {
    let (_folder, path) = place();
    let away = setup(signer(Arc::new(AwayKey(key()))));
    submit(&path, away, &checkpoint(1, None)).await.unwrap_err();
    let other = setup(witness::signer("other", custody::signing_key(8)));
    let refused = submit(&path, other, &checkpoint(1, None)).await;
    assert_eq!(refused, Err(WitnessError::OtherKey("k".into())));
}

#[tokio::test]
async fn with_the_published_settings_another_key_goes_on_and_a_statement_of_the_first_is_not_signed_with_it() {
    let (_folder, path) = place();
    let away = setup(signer(Arc::new(AwayKey(key()))));
    submit(&path, away, &checkpoint(1, None)).await.unwrap_err();
    let other = || Setup { adopts_keys: true, ..setup(witness::signer("other", custody::signing_key(8))) };
    let refused = submit(&path, other(), &checkpoint(1, None)).await;
    assert_eq!(refused, Err(WitnessError::OtherKey("k".into())));
    assert!(matches!(submit(&path, other(), &checkpoint(2, Some(1))).await, Ok(Verdict::Accepted(_))));
}

#[tokio::test]
async fn the_same_fork_evidence_is_kept_once() {
    let (_folder, path) = place();
    let signer = signer(key());
    let rules = Rules { evidence_each_time: false, ..AS_PUBLISHED };
    let configured = |time| Setup { rules, ..at(time, signer.clone()) };
    submit(&path, configured(NOW), &checkpoint(1, None)).await.unwrap();
    let first = submit(&path, configured(NOW), &rival(1, None)).await.unwrap();
    let again = submit(&path, configured(LATER), &rival(1, None)).await.unwrap();
    assert_eq!(first, again);
    let Verdict::Forked(evidence) = first else { panic!("a fork") };
    verify_fork_evidence(&evidence, signer.public_key()).unwrap();
    assert_eq!(WitnessReader::open(&path).unwrap().counts().unwrap().forks, 1);
}

#[tokio::test]
async fn with_the_published_settings_a_fork_that_is_shown_again_is_evidence_of_its_own() {
    let (_folder, path) = place();
    let signer = signer(key());
    submit(&path, at(NOW, signer.clone()), &checkpoint(1, None)).await.unwrap();
    let first = submit(&path, at(NOW, signer.clone()), &rival(1, None)).await.unwrap();
    // Only the very same evidence is known.
    assert_eq!(submit(&path, at(NOW, signer.clone()), &rival(1, None)).await.unwrap(), first);
    assert_ne!(submit(&path, at(LATER, signer), &rival(1, None)).await.unwrap(), first);
    assert_eq!(WitnessReader::open(&path).unwrap().counts().unwrap().forks, 2);
}

#[tokio::test]
async fn a_refused_checkpoint_changes_nothing() {
    let (_folder, path) = place();
    for bad in [
        Submission { checkpoint_seq_no: 0, ..checkpoint(1, None) },
        Submission { checkpoint_hash: "FF".repeat(32), ..checkpoint(1, None) },
        Submission { previous_checkpoint_hash: Some(String::new()), ..checkpoint(1, None) },
    ] {
        let refused = submit(&path, setup(signer(key())), &bad).await;
        assert!(matches!(refused, Err(WitnessError::Submission(_))));
    }
    assert_eq!(WitnessReader::open(&path).unwrap().counts().unwrap().receipts, 0);
    let accepted = submit(&path, setup(signer(key())), &checkpoint(9, None)).await;
    assert!(matches!(accepted, Ok(Verdict::Accepted(_))));
}

#[tokio::test]
async fn an_edited_receipt_is_never_answered_with() {
    let (_folder, path) = place();
    submit(&path, setup(signer(key())), &checkpoint(1, None)).await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE receipts SET signature = zeroblob(64)", []).unwrap();
    let refused = submit(&path, setup(signer(key())), &checkpoint(1, None)).await;
    assert!(matches!(refused, Err(WitnessError::Damaged(_))), "{refused:?}");
}

#[tokio::test]
async fn a_head_that_somebody_set_back_is_never_signed_on() {
    let (_folder, path) = place();
    submit(&path, setup(signer(key())), &checkpoint(1, None)).await.unwrap();
    submit(&path, setup(signer(key())), &checkpoint(2, Some(1))).await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE streams SET seq_no = 1, checkpoint_id = 'chk_1', checkpoint_hash = ?1", [format!("{:064x}", 1)])
        .unwrap();
    let refused = submit(&path, setup(signer(key())), &rival(2, Some(1))).await;
    assert_eq!(incident(refused), What::StateDamaged);
}

#[tokio::test]
async fn a_database_that_was_emptied_is_not_begun_anew() {
    let (_folder, path) = place();
    submit(&path, setup(signer(key())), &checkpoint(1, None)).await.unwrap();
    std::fs::write(&path, b"").unwrap();
    assert_eq!(incident(submit(&path, setup(signer(key())), &checkpoint(1, None)).await), What::StateDamaged);
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[tokio::test]
async fn an_empty_file_where_no_store_has_been_is_taken_for_a_new_one() {
    let (_folder, path) = place();
    std::fs::write(&path, b"").unwrap();
    Witness::open(&path, setup(signer(key()))).unwrap();
}

#[tokio::test]
async fn a_file_that_is_something_else_is_never_opened_as_empty() {
    let (_folder, path) = place();
    std::fs::write(&path, b"not a database").unwrap();
    let refused = Witness::open(&path, setup(signer(key()))).unwrap_err();
    assert!(matches!(refused, WitnessError::Store(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a database");
}

pub(crate) fn place() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::join(folder.path(), "witness.sqlite3");
    (folder, path)
}

pub(crate) fn key() -> SharedSigningKey {
    custody::signing_key(7)
}

pub(crate) fn signer(key: SharedSigningKey) -> Signer {
    witness::signer("k", key)
}

/// A setup in which it is always that time.
fn at(time: Timestamp, signer: Signer) -> Setup {
    Setup { times: Told::at(time), ..setup(signer) }
}

/// A key whose device is away: what no file can do.
#[derive(Debug)]
struct AwayKey(SharedSigningKey);

impl SigningKey for AwayKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn protection(&self) -> Protection {
        self.0.protection()
    }

    fn sign(&self, _: &Preimage) -> Result<Signature, CustodyError> {
        Err(CustodyError::new(ErrorKind::Away, "test", "sign", "away", ""))
    }
}
