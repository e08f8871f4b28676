use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::accept::Witness;
use crate::facts::Digest;
use crate::protocol::PublicKey;
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{named_key, verify_fork_evidence, verify_receipt};
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

impl Witness {
    /// Imports a witness database of the published package, all of it or nothing: heads, receipts and evidence, each
    /// verified under the key it names. The source is only read; again brings what is new there. Blocks.
    pub fn import(&mut self, source: &Path, scratch: &Path) -> Result<Imported, ImportError> {
        let snapshot = published(source, scratch)?;
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let imported = Imported {
            receipts: receipts(&snapshot.db, &tx)?,
            forks: forks(&snapshot.db, &tx)?,
            heads: heads(&snapshot.db, &tx)?,
        };
        if !snapshot.is_current(source)? {
            return Err(StoreError::Busy(source.to_owned()).into());
        }
        tx.commit()?;
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

fn receipts(from: &Connection, to: &Connection) -> Result<u64, ImportError> {
    let mut statement = from.prepare(RECEIPTS)?;
    let mut rows = statement.query([])?;
    let mut new = 0;
    while let Some(row) = rows.next()? {
        let (id, json) = id_and_json(row).map_err(|e| unreadable("witness_receipts", &e))?;
        let refused = |why: String| ImportError::Row { row: id.clone(), why };
        let (receipt, key) = signed(&json).map_err(refused)?;
        let statement = verify_receipt(&receipt, &key).map_err(|e| refused(e.to_string()))?;
        let known: Option<Vec<u8>> = to
            .query_row("SELECT receipt FROM receipts WHERE receipt_id = ?1", [&id], |row| row.get(0))
            .optional()?
            .flatten();
        if let Some(known) = known {
            if known != receipt.to_canonical() {
                return Err(refused("our database holds another receipt of that id".into()));
            }
            continue;
        }
        let s = &statement.submission;
        let inserted = to.execute(
            "INSERT OR IGNORE INTO receipts (receipt_id, witness_id, tenant_id, stream_id, seq_no, checkpoint_hash,
                                             statement, receipt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                id,
                s.witness_id,
                s.tenant_id,
                s.stream_id,
                s.checkpoint_seq_no,
                s.checkpoint_hash,
                statement.to_object().to_canonical(),
                receipt.to_canonical()
            ],
        )?;
        if inserted == 0 {
            return Err(refused("our database holds another receipt for that number".into()));
        }
        new += 1;
    }
    Ok(new)
}

fn forks(from: &Connection, to: &Connection) -> Result<u64, ImportError> {
    let mut statement = from.prepare(FORKS)?;
    let mut rows = statement.query([])?;
    let mut new = 0;
    while let Some(row) = rows.next()? {
        let (id, json) = id_and_json(row).map_err(|e| unreadable("witness_fork_evidence", &e))?;
        let refused = |why: String| ImportError::Row { row: id.clone(), why };
        let (sealed, key) = signed(&json).map_err(refused)?;
        let evidence = verify_fork_evidence(&sealed, &key).map_err(|e| refused(e.to_string()))?;
        let hash: Digest = evidence.preimage().hash();
        new += to.execute(
            "INSERT OR IGNORE INTO forks (evidence_id, evidence_hash, evidence, sealed) VALUES (?1, ?2, ?3, ?4)",
            params![id, hash.as_bytes(), evidence.to_object().to_canonical(), sealed.to_canonical()],
        )? as u64;
    }
    Ok(new)
}

/// The heads, which are not signed: each must be the checkpoint of a receipt that is.
fn heads(from: &Connection, to: &Connection) -> Result<u64, ImportError> {
    let mut statement = from.prepare(HEADS)?;
    let mut rows = statement.query([])?;
    let mut new = 0;
    while let Some(row) = rows.next()? {
        let Head { witness, tenant, stream, checkpoint, number, hash } =
            Head::read(row).map_err(|e| unreadable("witness_stream_state", &e))?;
        let refused = |why: &str| ImportError::Row { row: format!("the head of stream {stream:?}"), why: why.into() };
        let statement: Option<Vec<u8>> = to
            .query_row(
                "SELECT statement FROM receipts WHERE witness_id = ?1 AND tenant_id = ?2 AND stream_id = ?3
                 AND seq_no = ?4 AND checkpoint_hash = ?5",
                params![witness, tenant, stream, number, hash],
                |row| row.get(0),
            )
            .optional()?;
        let statement = statement.ok_or_else(|| refused("there is no receipt for it"))?;
        let receipted = json::parse(&statement).ok();
        if receipted.as_ref().and_then(|s| s.get_str("checkpoint_id")) != Some(&checkpoint) {
            return Err(refused("its receipt names another checkpoint_id"));
        }
        // A head of ours that is further on stays: a head never goes back.
        new += to.execute(
            "INSERT INTO heads (witness_id, tenant_id, stream_id, checkpoint_id, seq_no, checkpoint_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET checkpoint_id = ?4, seq_no = ?5, checkpoint_hash = ?6 WHERE seq_no < ?5",
            params![witness, tenant, stream, checkpoint, number, hash],
        )? as u64;
    }
    Ok(new)
}

/// A head as the published package wrote it.
struct Head {
    witness: String,
    tenant: String,
    stream: String,
    checkpoint: String,
    number: i64,
    hash: String,
}

impl Head {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            witness: row.get(0)?,
            tenant: row.get(1)?,
            stream: row.get(2)?,
            checkpoint: row.get(3)?,
            number: row.get(4)?,
            hash: row.get(5)?,
        })
    }
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
