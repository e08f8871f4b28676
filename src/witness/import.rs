use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::open::Witness;
use super::record::Kind;
use super::secret::Secret;
use super::state::State;
use super::stream::{Stream, StreamName};
use super::turn::{Signed, insert_receipt, keep_signature, read_receipt};
use super::{Counts, WitnessError};
use crate::protocol::json::{self, Object, Value};
use crate::protocol::witness::{Head, Submission, named_key, verify_fork_evidence, verify_receipt};
use crate::protocol::{PublicKey, Signature};
use crate::store::{Snapshot, StoreError};

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Stream heads that are new or further on.
    pub heads: u64,
    /// Receipts that are new.
    pub receipts: u64,
    /// Fork evidence that is new.
    pub forks: u64,
}

/// Why a witness database is not imported. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file looks like a witness database of the published package, and has other tables or columns.
    #[error("{} is not in the form of the published package's witness database: {missing}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What SQLite does not find in it.
        missing: String,
    },
    /// The file is no witness database of the published package.
    #[error("{} is not a witness database of the published package", .0.display())]
    NotPublished(PathBuf),
    /// A row does not verify, or contradicts what we hold.
    #[error("{row} in the published witness database cannot be taken over: {why}")]
    Row {
        /// The row's id, as it is there.
        row: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our own state is not as it should be, or its anchor did not follow.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Whether `path` is a witness database of the published package. `scratch` is where its copy may lie for the moment.
pub fn is_published_witness(path: &Path, scratch: &Path) -> Result<bool, StoreError> {
    Ok(Snapshot::open(path, scratch)?.has_table("witness_stream_state"))
}

/// How much a witness database of the published package holds. `scratch` is where its copy may lie for the moment.
pub fn published_counts(path: &Path, scratch: &Path) -> Result<Counts, ImportError> {
    let snapshot = published(path, scratch)?;
    let count = |table| snapshot.db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    Ok(Counts { forks: count("witness_fork_evidence")?, receipts: count("witness_receipts")? })
}

impl Witness {
    /// Imports a witness database of the published package, all of it or nothing: heads, receipts and evidence, each
    /// verified under the key it names. The source is only read; again brings what is new there. Blocks.
    pub fn import(&mut self, source: &Path, scratch: &Path) -> Result<Imported, ImportError> {
        let snapshot = published(source, scratch)?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut into = Into { db: &tx, secret: &self.secret, state: self.state.clone() };
        let (heads, receipts) = into.receipts(&snapshot.db)?;
        let imported = Imported { heads, receipts, forks: into.forks(&snapshot.db)? };
        into.check_heads(&snapshot.db)?;
        if imported == Imported::default() {
            return Ok(imported);
        }
        let Imported { heads, receipts, forks } = imported;
        let body = Object::new().with("heads", heads).with("receipts", receipts).with("forks", forks);
        into.state.append(&tx, &self.secret, Kind::Imported, &body)?;
        let mut state = into.state;
        state.keep(&tx, &self.secret, &self.state.floor)?;
        if !snapshot.is_current(source)? {
            return Err(StoreError::Busy(source.to_owned()).into());
        }
        tx.commit()?;
        self.state = state;
        if let Some(anchor) = &self.setup.anchor {
            anchor.advance(&self.state.floor).map_err(WitnessError::from)?;
        }
        Ok(imported)
    }
}

const RECEIPTS: &str = "SELECT id, receipt_json FROM witness_receipts ORDER BY rowid";
const FORKS: &str = "SELECT id, evidence_json FROM witness_fork_evidence ORDER BY rowid";
const HEADS: &str = "
    SELECT witness_id, tenant_id, stream_id, checkpoint_id, checkpoint_seq_no, checkpoint_hash
    FROM witness_stream_state";

fn published(source: &Path, scratch: &Path) -> Result<Snapshot, ImportError> {
    let snapshot = Snapshot::open(source, scratch)?;
    if !snapshot.has_table("witness_stream_state") {
        return Err(ImportError::NotPublished(source.to_owned()));
    }
    for sql in [RECEIPTS, FORKS, HEADS] {
        if let Some(missing) = snapshot.lacks(sql)? {
            return Err(ImportError::Form { path: source.to_owned(), missing });
        }
    }
    Ok(snapshot)
}

/// What is imported into.
struct Into<'a> {
    db: &'a Connection,
    secret: &'a Secret,
    state: State,
}

impl Into<'_> {
    /// The receipts, and the heads that follow from them: a head is not signed, and where it was set back or is gone,
    /// the receipts still tell.
    fn receipts(&mut self, from: &Connection) -> Result<(u64, u64), ImportError> {
        let mut statement = from.prepare(RECEIPTS)?;
        let mut rows = statement.query([])?;
        let (mut heads, mut new) = (BTreeSet::new(), 0);
        while let Some(row) = rows.next()? {
            let (id, json) = id_and_json(row).map_err(|e| unreadable("witness_receipts", &e))?;
            let refused = |why: String| ImportError::Row { row: id.clone(), why };
            let (receipt, public_key) = signed(&json).map_err(refused)?;
            let statement = verify_receipt(&receipt, &public_key).map_err(|e| refused(e.to_string()))?;
            let mut stream = self.stream(&statement.submission)?;
            let known = find(self.db, &stream, statement.submission.checkpoint_seq_no)?;
            if let Some(n) = known {
                let known = read_receipt(self.db, self.secret, n)?;
                if known.id == id && known.content != statement {
                    return Err(refused("our database holds another receipt of that id".into()));
                }
                if known.id != id {
                    return Err(refused("our database holds another receipt for that number".into()));
                }
                continue;
            }
            let body = Object::new().with("receipt_id", id.as_str()).with("statement", statement.to_object());
            let body = body.with("by", "import").with("submitter_signature", Value::Null);
            let n = self.state.append(self.db, self.secret, Kind::Accepted, &body)?;
            insert_receipt(self.db, n, stream.row, ORIGIN, &statement.submission)?;
            self.keep_signature(n, false, &receipt, public_key)?;
            self.state.last_time = self.state.last_time.max(statement.accepted_at);
            new += 1;
            let Submission { checkpoint_id, checkpoint_seq_no, checkpoint_hash, .. } = statement.submission;
            // A head of ours that is further on stays, and so does the one that an operator began the stream anew with.
            let is_behind = stream.head.as_ref().is_none_or(|ours| ours.checkpoint_seq_no < checkpoint_seq_no);
            if stream.origin == ORIGIN && is_behind {
                let head = Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash };
                stream.advance(self.db, self.secret, &mut self.state, head, false)?;
                heads.insert(stream.row);
            }
        }
        Ok((heads.len() as u64, new))
    }

    fn forks(&mut self, from: &Connection) -> Result<u64, ImportError> {
        let mut statement = from.prepare(FORKS)?;
        let mut rows = statement.query([])?;
        let mut new = 0;
        while let Some(row) = rows.next()? {
            let (id, json) = id_and_json(row).map_err(|e| unreadable("witness_fork_evidence", &e))?;
            let refused = |why: String| ImportError::Row { row: id.clone(), why };
            let (sealed, public_key) = signed(&json).map_err(refused)?;
            let evidence = verify_fork_evidence(&sealed, &public_key).map_err(|e| refused(e.to_string()))?;
            let hash = evidence.preimage().hash();
            let sql = "SELECT EXISTS (SELECT 1 FROM forks WHERE shown = ?1)";
            if self.db.query_row(sql, [hash.as_bytes()], |row| row.get(0))? {
                continue;
            }
            let stream = self.stream(&evidence.submission)?;
            let body = Object::new().with("evidence_id", id.as_str()).with("evidence", evidence.to_object());
            let body = body.with("by", "import").with("against", Value::Null).with("submitter_signature", Value::Null);
            let n = self.state.append(self.db, self.secret, Kind::Forked, &body)?;
            let sql = "INSERT INTO forks (n, stream, shown) VALUES (?1, ?2, ?3)";
            self.db.execute(sql, params![n, stream.row, hash.as_bytes()])?;
            self.keep_signature(n, true, &sealed, public_key)?;
            new += 1;
        }
        Ok(new)
    }

    /// The heads, which are not signed: each must be the checkpoint of a receipt that is.
    fn check_heads(&self, from: &Connection) -> Result<(), ImportError> {
        let mut statement = from.prepare(HEADS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (name, head) = head(row).map_err(|e| unreadable("witness_stream_state", &e))?;
            let refused = |why: &str| ImportError::Row {
                row: format!("the head of stream {:?}", name.stream_id),
                why: why.into(),
            };
            let missing = || refused("there is no receipt for it");
            let stream = Stream::find(self.db, &name)?.ok_or_else(missing)?;
            let n = find(self.db, &stream, head.checkpoint_seq_no)?.ok_or_else(missing)?;
            let receipted = read_receipt(self.db, self.secret, n)?.content.submission;
            if receipted.checkpoint_hash != head.checkpoint_hash {
                return Err(missing());
            }
            if receipted.checkpoint_id != head.checkpoint_id {
                return Err(refused("its receipt names another checkpoint_id"));
            }
        }
        Ok(())
    }

    fn stream(&mut self, submission: &Submission) -> Result<Stream, ImportError> {
        let name = StreamName::from(submission);
        if let Some(stream) = Stream::find(self.db, &name)? {
            return Ok(stream);
        }
        let mut stream = Stream::new(name);
        stream.insert(self.db, self.secret, &mut self.state)?;
        Ok(stream)
    }

    fn keep_signature(&self, n: u64, is_fork: bool, object: &Object, public_key: PublicKey) -> Result<(), ImportError> {
        // What verified has both.
        let signature = object.get_object("signature").and_then(|signature| {
            let kid = signature.get_str("kid")?.to_owned();
            let signature = Signature::from_hex(signature.get_str("signature_hex")?).ok()?;
            Some(Signed { kid, public_key, signature })
        });
        let signed = signature.ok_or(WitnessError::Damaged("a signature vanished"))?;
        Ok(keep_signature(self.db, n, is_fork, &signed)?)
    }
}

/// What the published package signed is of before any ceremony: a stream that was begun anew since stays as it is.
const ORIGIN: i64 = 0;

/// The record of what was receipted for a number.
fn find(db: &Connection, stream: &Stream, number: i64) -> Result<Option<u64>, ImportError> {
    let sql = "SELECT n FROM receipts WHERE stream = ?1 AND origin = ?2 AND seq_no = ?3";
    Ok(db.query_row(sql, params![stream.row, ORIGIN, number], |row| row.get(0)).optional()?)
}

/// A head as the published package wrote it.
fn head(row: &Row<'_>) -> rusqlite::Result<(StreamName, Head)> {
    let name = StreamName { witness_id: row.get(0)?, tenant_id: row.get(1)?, stream_id: row.get(2)? };
    let head = Head { checkpoint_id: row.get(3)?, checkpoint_seq_no: row.get(4)?, checkpoint_hash: row.get(5)? };
    Ok((name, head))
}

fn id_and_json(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// A row whose columns do not hold what they should, and which may have no id.
fn unreadable(table: &str, error: &rusqlite::Error) -> ImportError {
    ImportError::Row { row: format!("a row of {table}"), why: error.to_string() }
}

/// Reads a signed object with the public key that it names.
fn signed(text: &str) -> Result<(Object, PublicKey), String> {
    let object = json::parse(text.as_bytes()).map_err(|e| e.to_string())?;
    let key = named_key(&object).ok_or("it names no public key")?;
    Ok((object, key))
}
