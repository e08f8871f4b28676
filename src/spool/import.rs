//! Takes over a spool of the published package: every event, with its id, its order and its state. The source is
//! only read. Doing it again brings what is new there, and nothing twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::enqueue::{Arrival, NewEvent, insert};
use super::limits::Door;
use super::open::Inner;
use super::{ContentId, Limit, Spool, SpoolError, State};
use crate::custody::CustodyError;
use crate::facts::{Digest, Timestamp};
use crate::protocol::json;
use crate::store::{Snapshot, Stamp, StoreError};

/// Opens a row of the published spool, a Fernet token under ENCRYPTION_KEY.
pub type OpenPublished = Arc<dyn Fn(&[u8]) -> Result<Zeroizing<Vec<u8>>, CustodyError> + Send + Sync>;

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Events that are to be sent.
    pub queued: u64,
    /// Events that the published package had delivered. It kept no receipts.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events that were here already.
    pub known: u64,
}

impl Imported {
    /// How many events were new.
    pub const fn new_events(&self) -> u64 {
        self.queued + self.delivered + self.dead
    }
}

/// Why a file is not imported. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file looks like a spool of the published package, and has other columns.
    #[error("{} is not in the form of the published package's spool: {missing}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What SQLite does not find in it.
        missing: String,
    },
    /// The file is no spool of the published package.
    #[error("{} is not a spool of the published package", .0.display())]
    NotPublished(PathBuf),
    /// A row does not open, or says what cannot be.
    #[error("event {event} in the published spool cannot be taken over: {why}")]
    Row {
        /// The row's id, as it is there.
        event: String,
        /// What is wrong with it.
        why: String,
    },
    /// Our spool refuses or fails.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Spool(error.into())
    }
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Spool(error.into())
    }
}

/// Whether `path` is a spool of the published package. `scratch` is where its copy may lie for the moment.
pub fn is_published_spool(path: &Path, scratch: &Path) -> Result<bool, StoreError> {
    Ok(Snapshot::open(path, scratch)?.has_table("spool_events"))
}

/// Reads a published spool as an import does, and takes over nothing: whether every event opens and reads. `scratch` is
/// where its copy may lie for the moment. Blocks.
pub fn check_published(source: &Path, scratch: &Path, open: &OpenPublished) -> Result<(), ImportError> {
    each_event(&published(source, scratch)?.db, open, |_, _| Ok(()))
}

impl Spool {
    /// Imports the published spool at `source`, all of it or nothing. `None`: it has not changed since the last
    /// import. `scratch` is where its copy may lie for the moment.
    pub async fn import(
        &self,
        source: &Path,
        scratch: &Path,
        open: OpenPublished,
    ) -> Result<Option<Imported>, ImportError> {
        let stamp = Stamp::of(source)?;
        if self.last_import(source.display().to_string()).await? == Some(stamp) {
            return Ok(None);
        }
        let snapshot = published(source, scratch)?;
        let inner = self.inner.clone();
        let source = source.to_owned();
        self.writer.run(move |db| import(db, &inner, &snapshot, &source, &open)).await.map(Some)
    }

    async fn last_import(&self, name: String) -> Result<Option<Stamp>, StoreError> {
        self.writer
            .run(move |db| {
                let read = |row: &Row<'_>| Ok(Stamp { size: row.get(0)?, mtime: row.get(1)? });
                Ok(db.query_row("SELECT size, mtime FROM imports WHERE source = ?1", [&name], read).optional()?)
            })
            .await
    }
}

/// The published package sends by created_at; rows of one microsecond keep the order they were written in.
const EVENTS: &str = "
    SELECT id, stream_id, source_ref, status, attempt_count, payload_sha256, encrypted_payload, created_at, last_error
    FROM spool_events ORDER BY created_at, rowid";

fn published(source: &Path, scratch: &Path) -> Result<Snapshot, ImportError> {
    let snapshot = Snapshot::open(source, scratch)?;
    if !snapshot.has_table("spool_events") {
        return Err(ImportError::NotPublished(source.to_owned()));
    }
    match snapshot.lacks(EVENTS)? {
        None => Ok(snapshot),
        Some(missing) => Err(ImportError::Form { path: source.to_owned(), missing }),
    }
}

fn import(
    db: &Connection,
    inner: &Inner,
    snapshot: &Snapshot,
    source: &Path,
    open: &OpenPublished,
) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    each_event(&snapshot.db, open, |new, arrival| {
        let refused = |why: &str| ImportError::Row { event: arrival.event_id.to_string(), why: why.to_owned() };
        match inner.index.find(db, &new.stream_id, &new.source_ref)? {
            Some(tombstone) if tombstone.holds(&new.content) => imported.known += 1,
            Some(_) => return Err(refused("our spool holds other content under its source_ref")),
            None if is_taken(db, &arrival)? => return Err(refused("our spool holds another event of this id")),
            None => {
                admit(db, inner, arrival.state)?;
                insert(db, inner, &new, &arrival)?;
                match arrival.state {
                    State::Receipted => imported.delivered += 1,
                    State::Dead => imported.dead += 1,
                    _ => imported.queued += 1,
                }
            }
        }
        Ok(())
    })?;
    if !snapshot.is_current(source)? {
        return Err(StoreError::Busy(source.to_owned()).into());
    }
    let sql = "INSERT OR REPLACE INTO imports (source, size, mtime) VALUES (?1, ?2, ?3)";
    db.execute(sql, params![source.display().to_string(), snapshot.stamp.size, snapshot.stamp.mtime])?;
    Ok(imported)
}

/// Opens every event, in the order of sending.
fn each_event(
    from: &Connection,
    open: &OpenPublished,
    mut take: impl FnMut(NewEvent, Arrival) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut statement = from.prepare(EVENTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let published = Published::read(row).map_err(|e| ImportError::Row {
            event: row.get(0).unwrap_or_else(|_| "without an id".to_owned()),
            why: e.to_string(),
        })?;
        let refused = |why| ImportError::Row { event: published.id.clone(), why };
        let (new, arrival) = published.convert(open).map_err(refused)?;
        take(new, arrival)?;
    }
    Ok(())
}

/// An import passes the door like anybody. Asked for each event: it is one transaction, and may be as large as the disk.
fn admit(db: &Connection, inner: &Inner, state: State) -> Result<(), SpoolError> {
    match Door::open(db, inner)?.pass() {
        // What is settled elsewhere waits for nobody.
        Err(SpoolError::Full { limit: Limit::Events }) if state.is_settled() => Ok(()),
        passed => passed,
    }
}

fn is_taken(db: &Connection, arrival: &Arrival) -> Result<bool, ImportError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM events WHERE event_id = ?1
                              UNION ALL SELECT 1 FROM settled WHERE event_id = ?1)";
    Ok(db.prepare_cached(sql)?.query_row([arrival.event_id.as_bytes()], |row| row.get(0))?)
}

/// A row as the published package wrote it.
struct Published {
    id: String,
    stream_id: String,
    source_ref: String,
    status: String,
    attempt_count: i32,
    payload_sha256: String,
    encrypted_payload: Vec<u8>,
    created_at: String,
    last_error: Option<String>,
}

impl Published {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            stream_id: row.get(1)?,
            source_ref: row.get(2)?,
            status: row.get(3)?,
            attempt_count: row.get(4)?,
            payload_sha256: row.get(5)?,
            encrypted_payload: row.get(6)?,
            created_at: row.get(7)?,
            last_error: row.get(8)?,
        })
    }

    fn convert(&self, open: &OpenPublished) -> Result<(NewEvent, Arrival), String> {
        let payload = open(&self.encrypted_payload).map_err(|e| e.message)?;
        let sha256 = Digest::of(&payload);
        if sha256.to_string() != self.payload_sha256 {
            return Err("its payload is not the one it was spooled with".into());
        }
        let object = json::parse(&payload).map_err(|e| format!("its payload is refused: {e}"))?;
        if object.to_canonical() != *payload {
            return Err("its payload is not in canonical form".into());
        }
        let attempts = u32::try_from(self.attempt_count).map_err(|_| "its attempt_count is negative".to_owned())?;
        let (state, attempt) = match self.status.as_str() {
            "queued" => (State::Queued, attempts),
            // It may have been sent: the published package counts a send after it.
            "inflight" => (State::Queued, attempts + 1),
            "delivered" => (State::Receipted, attempts),
            "dead" => (State::Dead, attempts),
            other => return Err(format!("its status is {other:?}")),
        };
        let new = NewEvent {
            stream_id: self.stream_id.clone(),
            source_ref: self.source_ref.clone(),
            content: ContentId::payload(sha256),
            payload,
            allow_ref_reuse: true,
        };
        let event_id = self.id.parse().map_err(|_| "its id is not lv_ and 32 hex digits".to_owned())?;
        let created_at = Timestamp::parse(&self.created_at).map_err(|_| "its created_at is no time".to_owned())?;
        let last_error = self.last_error.clone();
        Ok((new, Arrival { event_id, created_at, state, attempt, last_error }))
    }
}
