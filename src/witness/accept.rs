use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::schema::SCHEMA;
use crate::custody::{SignError, Signer};
use crate::facts::{Timestamp, random_id};
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{
    Decision, ForkEvidence, Head, Statement, Submission, SubmissionError, decide, named_key, receipt,
    sealed_fork_evidence, verify_fork_evidence, verify_receipt,
};
use crate::protocol::{self, PublicKey};
use crate::store::{self, Access, StoreError};

/// The witness's durable state. Its calls block on the disk: one command makes one.
#[derive(Debug)]
pub struct Witness {
    pub(super) db: Connection,
}

/// What a submission led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It extends the stream; here is the receipt.
    Accepted(Object),
    /// It contradicts the stream; here is the evidence.
    Forked(Object),
    /// It was accepted before; here is that receipt.
    Replayed(Object),
}

/// How much the witness has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Fork evidence.
    pub forks: u64,
    /// Receipts.
    pub receipts: u64,
}

/// Why there is no verdict. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// A stored statement does not read, or is not what was signed. Nothing more is signed on such a state.
    #[error("the witness database was changed: a statement in it does not verify")]
    Damaged,
    /// A statement was committed under another key, and that key is not here to sign it.
    #[error("a statement that a crash interrupted names the key {0}")]
    OtherKey(String),
    /// The signing key failed. What was decided is kept; the same checkpoint again gets its signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The submission is malformed. Nothing changed.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
}

impl From<rusqlite::Error> for WitnessError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What is committed, and waits for its signature where `signed` is `None`.
struct Committed {
    id: String,
    bytes: Vec<u8>,
    signed: Option<Vec<u8>>,
}

impl Witness {
    /// Opens the state, and makes it where it is not there yet.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: store::open(path, &SCHEMA, Access::Create)? })
    }

    /// Decides about a submission, commits, signs, and answers. `now` is the time of the statement.
    pub async fn accept(
        &mut self,
        submission: &Submission,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Verdict, WitnessError> {
        submission.check()?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = head(&tx, submission)?;
        let receipted = receipted(&tx, submission)?;
        let decision = decide(submission, head.as_ref(), receipted.as_ref().map(|(hash, _)| hash.as_str()));
        let committed = match (decision, receipted) {
            (Decision::Replay, Some((_, committed))) => committed,
            (Decision::Fork, _) => commit_fork(&tx, submission, head, now)?,
            _ => commit_statement(&tx, submission, head.as_ref(), signer.kid(), now)?,
        };
        tx.commit()?;
        Ok(match decision {
            Decision::Accept => Verdict::Accepted(self.receipt(committed, signer).await?),
            Decision::Fork => Verdict::Forked(self.evidence(committed, signer).await?),
            Decision::Replay => Verdict::Replayed(self.receipt(committed, signer).await?),
        })
    }

    /// How much the witness has signed.
    pub fn counts(&self) -> Result<Counts, WitnessError> {
        let count = |table| self.db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok(Counts { forks: count("forks")?, receipts: count("receipts")? })
    }

    /// The receipt of a committed statement, signed now where a crash prevented it.
    async fn receipt(&self, committed: Committed, signer: &Signer) -> Result<Object, WitnessError> {
        let statement = Statement::from_object(&read(&committed.bytes)?).map_err(|_| WitnessError::Damaged)?;
        if let Some(receipt) = committed.signed {
            return stored(&receipt, &statement, verify_receipt);
        }
        if statement.key_epoch != signer.kid() {
            return Err(WitnessError::OtherKey(statement.key_epoch));
        }
        let (_, signature) = signer.sign(statement.preimage(), &committed.id).await?;
        let receipt = receipt(&committed.id, &statement, signer.public_key(), &signature);
        let sql = "UPDATE receipts SET receipt = ?2 WHERE receipt_id = ?1";
        self.db.execute(sql, params![committed.id, receipt.to_canonical()])?;
        Ok(receipt)
    }

    /// The signed form of committed evidence.
    async fn evidence(&self, committed: Committed, signer: &Signer) -> Result<Object, WitnessError> {
        let evidence = ForkEvidence::from_object(&read(&committed.bytes)?).map_err(|_| WitnessError::Damaged)?;
        if let Some(sealed) = committed.signed {
            return stored(&sealed, &evidence, verify_fork_evidence);
        }
        let (_, signature) = signer.sign(evidence.preimage(), &committed.id).await?;
        let sealed = sealed_fork_evidence(&committed.id, &evidence, signer.kid(), signer.public_key(), &signature);
        let sql = "UPDATE forks SET sealed = ?2 WHERE evidence_id = ?1";
        self.db.execute(sql, params![committed.id, sealed.to_canonical()])?;
        Ok(sealed)
    }
}

fn head(db: &Connection, submission: &Submission) -> Result<Option<Head>, WitnessError> {
    let sql = "SELECT checkpoint_id, seq_no, checkpoint_hash FROM heads
               WHERE witness_id = ?1 AND tenant_id = ?2 AND stream_id = ?3";
    let read = |row: &Row<'_>| {
        Ok(Head { checkpoint_id: row.get(0)?, checkpoint_seq_no: row.get(1)?, checkpoint_hash: row.get(2)? })
    };
    let stream = params![submission.witness_id, submission.tenant_id, submission.stream_id];
    Ok(db.query_row(sql, stream, read).optional()?)
}

/// The hash that was receipted for the submitted number, and its receipt.
fn receipted(db: &Connection, submission: &Submission) -> Result<Option<(String, Committed)>, WitnessError> {
    let sql = "SELECT checkpoint_hash, receipt_id, statement, receipt FROM receipts
               WHERE witness_id = ?1 AND tenant_id = ?2 AND stream_id = ?3 AND seq_no = ?4";
    let read =
        |row: &Row<'_>| Ok((row.get(0)?, Committed { id: row.get(1)?, bytes: row.get(2)?, signed: row.get(3)? }));
    let Submission { witness_id, tenant_id, stream_id, checkpoint_seq_no, .. } = submission;
    Ok(db.query_row(sql, params![witness_id, tenant_id, stream_id, checkpoint_seq_no], read).optional()?)
}

fn commit_statement(
    db: &Connection,
    submission: &Submission,
    head: Option<&Head>,
    kid: &str,
    now: Timestamp,
) -> Result<Committed, WitnessError> {
    let statement = Statement { submission: submission.clone(), key_epoch: kid.to_owned(), accepted_at: now };
    let committed = Committed { id: random_id("lwr_"), bytes: statement.to_object().to_canonical(), signed: None };
    let Submission { witness_id, tenant_id, stream_id, checkpoint_id, checkpoint_seq_no, checkpoint_hash, .. } =
        submission;
    db.execute(
        "INSERT INTO receipts (receipt_id, witness_id, tenant_id, stream_id, seq_no, checkpoint_hash, statement)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![committed.id, witness_id, tenant_id, stream_id, checkpoint_seq_no, checkpoint_hash, committed.bytes],
    )?;
    // The comparison stands in the statement that writes: whatever reads the head may become, a head that is not the
    // one decided upon is never replaced.
    let moved = db.execute(
        "INSERT INTO heads (witness_id, tenant_id, stream_id, checkpoint_id, seq_no, checkpoint_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET checkpoint_id = ?4, seq_no = ?5, checkpoint_hash = ?6
         WHERE seq_no = ?7 AND checkpoint_hash = ?8",
        params![
            witness_id,
            tenant_id,
            stream_id,
            checkpoint_id,
            checkpoint_seq_no,
            checkpoint_hash,
            head.map(|head| head.checkpoint_seq_no),
            head.map(|head| head.checkpoint_hash.as_str())
        ],
    )?;
    if moved == 1 { Ok(committed) } else { Err(WitnessError::Damaged) }
}

fn commit_fork(
    db: &Connection,
    submission: &Submission,
    head: Option<Head>,
    now: Timestamp,
) -> Result<Committed, WitnessError> {
    let evidence = ForkEvidence { head, submission: submission.clone(), created_at: now };
    let hash = evidence.preimage().hash();
    let sql = "SELECT evidence_id, evidence, sealed FROM forks WHERE evidence_hash = ?1";
    let read = |row: &Row<'_>| Ok(Committed { id: row.get(0)?, bytes: row.get(1)?, signed: row.get(2)? });
    if let Some(known) = db.query_row(sql, [hash.as_bytes()], read).optional()? {
        return Ok(known);
    }
    let committed = Committed { id: random_id("lwf_"), bytes: evidence.to_object().to_canonical(), signed: None };
    db.execute(
        "INSERT INTO forks (evidence_id, evidence_hash, evidence) VALUES (?1, ?2, ?3)",
        params![committed.id, hash.as_bytes(), committed.bytes],
    )?;
    Ok(committed)
}

/// A signed object as it was stored: it must verify under the key it names, and say what was committed. A row that
/// somebody edited is never answered with.
fn stored<T: PartialEq>(
    bytes: &[u8],
    committed: &T,
    verify: impl FnOnce(&Object, &PublicKey) -> Result<T, protocol::witness::WitnessError>,
) -> Result<Object, WitnessError> {
    let object = read(bytes)?;
    let key = named_key(&object).ok_or(WitnessError::Damaged)?;
    match verify(&object, &key) {
        Ok(signed) if signed == *committed => Ok(object),
        _ => Err(WitnessError::Damaged),
    }
}

fn read(bytes: &[u8]) -> Result<Object, WitnessError> {
    json::parse(bytes).map_err(|_| WitnessError::Damaged)
}
