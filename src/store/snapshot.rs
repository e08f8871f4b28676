use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

use super::StoreError;
use super::path::{open_immutable, wal_of};
use crate::facts::{random_id, with_suffix};

/// Another program's database, read without touching it: no lock, no side file, no byte.
#[derive(Debug)]
pub struct Snapshot {
    /// For reading.
    pub db: Connection,
    /// Tells whether the file has changed since an earlier snapshot.
    pub stamp: Stamp,
    // Removed after the connection is closed: fields drop in order.
    _copy: Option<Scratch>,
}

/// Size and time of change of a database and its WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes of both files.
    pub size: i64,
    /// The later change, in nanoseconds since 1970.
    pub mtime: i64,
}

impl Stamp {
    /// Reads the stamp of a database as it is now.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let mut stamp = Self { size: 0, mtime: 0 };
        for file in [path.to_owned(), wal_of(path)] {
            if let Some(meta) = metadata(&file)? {
                stamp.size += meta.size().cast_signed();
                stamp.mtime = stamp.mtime.max(meta.mtime() * 1_000_000_000 + meta.mtime_nsec());
            }
        }
        Ok(stamp)
    }
}

/// Attempts to copy a database that another process goes on writing to.
const ATTEMPTS: usize = 20;

impl Snapshot {
    /// Opens `path`. Where it has a WAL, both are copied into a folder of our own beside `scratch` and the copy is
    /// read, because a reader of a WAL writes side files. Blocks on the disk.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS {
            if metadata(path)?.is_none() {
                return Err(StoreError::Missing(path.to_owned()));
            }
            if !is_empty(&with_suffix(path, "-journal"))? {
                // A hot journal: the file alone is the middle of a transaction.
                return Err(StoreError::Busy(path.to_owned()));
            }
            let stamp = Stamp::of(path)?;
            let copy = if is_empty(&wal_of(path))? { None } else { Some(Scratch::copy(path, scratch)?) };
            if stamp == Stamp::of(path)? {
                let db = match &copy {
                    None => open_immutable(path),
                    Some(copy) => Connection::open(copy.database()),
                };
                return Ok(Self { db: db.map_err(|e| StoreError::sort(&e, path))?, stamp, _copy: copy });
            }
        }
        Err(StoreError::Busy(path.to_owned()))
    }

    /// Whether the database has a table. What does not even list its tables has none.
    pub fn has_table(&self, name: &str) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
        self.db.query_row(sql, [name], |row| row.get(0)).unwrap_or(false)
    }

    /// What the database lacks for a statement, such as a column; `None` where it takes it.
    pub fn lacks(&self, sql: &str) -> Result<Option<String>, StoreError> {
        match self.db.prepare(sql) {
            Ok(_) => Ok(None),
            Err(rusqlite::Error::SqlInputError { msg, .. }) => Ok(Some(msg)),
            // The same, where SQLite names no place in the statement.
            Err(rusqlite::Error::SqliteFailure(e, Some(msg))) if e.code == ErrorCode::Unknown => Ok(Some(msg)),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the file at `path` is still what was opened. To be asked once everything has been read: where there
    /// was no WAL, the file itself was read, with nothing to hold a writer off.
    pub fn is_current(&self, path: &Path) -> Result<bool, StoreError> {
        Ok(self.stamp == Stamp::of(path)?)
    }
}

/// A folder that only we may enter, removed on drop.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> Result<Self, StoreError> {
        let path = with_suffix(beside, &random_id(".import-"));
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| StoreError::Io(format!("{}: {e}", path.display())))?;
        Ok(Self(path))
    }

    /// Copies a database and its WAL, in this order: what is checkpointed meanwhile is then in both.
    fn copy(path: &Path, beside: &Path) -> Result<Self, StoreError> {
        let folder = Self::new(beside)?;
        let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", path.display()));
        fs::copy(path, folder.database()).map_err(io)?;
        match fs::copy(wal_of(path), wal_of(&folder.database())) {
            // The last writer has just put it away; the stamp will tell.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(folder),
            copied => copied.map(|_| folder).map_err(io),
        }
    }

    fn database(&self) -> PathBuf {
        self.0.join("copy.sqlite3")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a copy of ciphertext.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn metadata(path: &Path) -> Result<Option<Metadata>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::Io(format!("{}: {e}", path.display()))),
    }
}

fn is_empty(path: &Path) -> Result<bool, StoreError> {
    Ok(metadata(path)?.is_none_or(|meta| meta.size() == 0))
}
