//! The durable witness: what survives a crash, and what two of them do at once. The contract itself is in
//! `tests/vectors.rs`.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "support/custody.rs"]
mod custody;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use local_vault::custody::{
    CustodyError, ErrorKind, Protection, Purpose, PurposeKey, SharedSigningKey, Signer, SignerConfig, SigningKey,
};
use local_vault::facts::Timestamp;
use local_vault::protocol::witness::{Submission, verify_fork_evidence, verify_receipt};
use local_vault::protocol::{Preimage, PublicKey, Signature};
use local_vault::store::StoreError;
use local_vault::witness::{Verdict, Witness, WitnessError};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LATER: Timestamp = Timestamp::from_millis(1_800_000_060_000);

#[tokio::test]
async fn a_checkpoint_whose_signature_a_crash_prevented_gets_it_when_it_comes_again() {
    let (folder, path) = place();
    let away = signer(Arc::new(AwayKey(key())));
    let refused = Witness::open(&path).unwrap().accept(&checkpoint(1, None), &away, NOW).await;
    assert!(matches!(refused, Err(WitnessError::Sign(_))), "{refused:?}");

    let signer = signer(key());
    let mut witness = Witness::open(&path).unwrap();
    let Verdict::Replayed(receipt) = witness.accept(&checkpoint(1, None), &signer, LATER).await.unwrap() else {
        panic!("it was decided before");
    };
    // Over the bytes that were committed, with the time of the decision.
    assert_eq!(verify_receipt(&receipt, signer.public_key()).unwrap().accepted_at, NOW);
    drop(folder);
}

#[tokio::test]
async fn a_statement_of_another_key_is_not_signed_with_this_one() {
    let (_folder, path) = place();
    let away = signer(Arc::new(AwayKey(key())));
    Witness::open(&path).unwrap().accept(&checkpoint(1, None), &away, NOW).await.unwrap_err();
    let other = PurposeKey::bind(Purpose::Witness, "other", key()).unwrap();
    let other = Signer::spawn(other, SignerConfig::default());
    let refused = Witness::open(&path).unwrap().accept(&checkpoint(1, None), &other, NOW).await;
    assert_eq!(refused, Err(WitnessError::OtherKey("k".into())));
}

#[tokio::test]
async fn the_same_fork_evidence_is_kept_once() {
    let (_folder, path) = place();
    let signer = signer(key());
    let mut witness = Witness::open(&path).unwrap();
    witness.accept(&checkpoint(1, None), &signer, NOW).await.unwrap();
    let fork = Submission { checkpoint_hash: "ff".repeat(32), ..checkpoint(1, None) };
    let first = witness.accept(&fork, &signer, NOW).await.unwrap();
    let again = witness.accept(&fork, &signer, NOW).await.unwrap();
    assert_eq!(first, again);
    let Verdict::Forked(evidence) = first else { panic!("a fork") };
    verify_fork_evidence(&evidence, signer.public_key()).unwrap();
    assert_eq!(witness.counts().unwrap().forks, 1);
}

#[tokio::test]
async fn two_witnesses_on_one_file_never_sign_two_checkpoints_of_one_number() {
    let (_folder, path) = place();
    let signer = signer(key());
    let (mut a, mut b) = (Witness::open(&path).unwrap(), Witness::open(&path).unwrap());
    let rival = Submission { checkpoint_hash: "ff".repeat(32), ..checkpoint(1, None) };
    assert!(matches!(a.accept(&checkpoint(1, None), &signer, NOW).await.unwrap(), Verdict::Accepted(_)));
    assert!(matches!(b.accept(&rival, &signer, NOW).await.unwrap(), Verdict::Forked(_)));
    // And the head that one moved is the head of the other.
    assert!(matches!(b.accept(&checkpoint(2, Some(1)), &signer, NOW).await.unwrap(), Verdict::Accepted(_)));
    assert!(matches!(a.accept(&checkpoint(3, Some(2)), &signer, NOW).await.unwrap(), Verdict::Accepted(_)));
    assert_eq!(a.counts().unwrap().receipts, 3);
}

#[tokio::test]
async fn a_refused_checkpoint_changes_nothing() {
    let (_folder, path) = place();
    let signer = signer(key());
    let mut witness = Witness::open(&path).unwrap();
    for bad in [
        Submission { checkpoint_seq_no: 0, ..checkpoint(1, None) },
        Submission { checkpoint_hash: "FF".repeat(32), ..checkpoint(1, None) },
        Submission { previous_checkpoint_hash: Some(String::new()), ..checkpoint(1, None) },
    ] {
        assert!(matches!(witness.accept(&bad, &signer, NOW).await, Err(WitnessError::Submission(_))));
    }
    assert_eq!(witness.counts().unwrap().receipts, 0);
    assert!(matches!(witness.accept(&checkpoint(9, None), &signer, NOW).await.unwrap(), Verdict::Accepted(_)));
}

#[tokio::test]
async fn an_edited_receipt_is_never_answered_with() {
    let (_folder, path) = place();
    let signer = signer(key());
    Witness::open(&path).unwrap().accept(&checkpoint(1, None), &signer, NOW).await.unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE receipts SET receipt = CAST('{\"forged\":1}' AS BLOB)", []).unwrap();
    let refused = Witness::open(&path).unwrap().accept(&checkpoint(1, None), &signer, NOW).await;
    assert_eq!(refused, Err(WitnessError::Damaged));
}

#[tokio::test]
async fn a_database_that_was_emptied_is_not_begun_anew() {
    let (_folder, path) = place();
    let signer = signer(key());
    Witness::open(&path).unwrap().accept(&checkpoint(1, None), &signer, NOW).await.unwrap();
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Witness::open(&path), Err(StoreError::Damaged(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn an_empty_file_where_no_store_has_been_is_taken_for_a_new_one() {
    let (_folder, path) = place();
    std::fs::write(&path, b"").unwrap();
    Witness::open(&path).unwrap();
}

#[test]
fn a_file_that_is_something_else_is_never_opened_as_empty() {
    let (_folder, path) = place();
    std::fs::write(&path, b"not a database").unwrap();
    assert!(matches!(Witness::open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"not a database");
}

fn place() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::join(folder.path(), "witness.sqlite3");
    (folder, path)
}

fn key() -> SharedSigningKey {
    custody::signing_key(7)
}

fn signer(key: SharedSigningKey) -> Signer {
    let config = SignerConfig { deadline: Duration::from_secs(60), ..SignerConfig::default() };
    Signer::spawn(PurposeKey::bind(Purpose::Witness, "k", key).unwrap(), config)
}

/// Number `n`, on top of number `previous`.
fn checkpoint(n: i64, previous: Option<i64>) -> Submission {
    let hash = |n: i64| format!("{n:064x}");
    Submission {
        witness_id: "ins_1".into(),
        tenant_id: "ten_1".into(),
        stream_id: "str_1".into(),
        checkpoint_id: format!("chk_{n}"),
        checkpoint_seq_no: n,
        checkpoint_hash: hash(n),
        previous_checkpoint_hash: previous.map(hash),
    }
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
