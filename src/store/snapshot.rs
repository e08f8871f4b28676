use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use crate::facts::random_id;

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
        if metadata(path)?.is_none() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        if metadata(&with_suffix(path, "-journal"))?.is_some_and(|m| m.size() > 0) {
            // A hot journal: the file alone is the middle of a transaction.
            return Err(StoreError::Busy(path.to_owned()));
        }
        let stamp = Stamp::of(path)?;
        if metadata(&wal_of(path))?.is_none_or(|m| m.size() == 0) {
            let uri = format!("file:{}?immutable=1", escaped(path));
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            let db = Connection::open_with_flags(uri, flags).map_err(|e| StoreError::sort(&e, path))?;
            return Ok(Self { db, stamp, _copy: None });
        }
        Self::of_copy(path, scratch)
    }

    /// Whether the database has a table. What does not even list its tables has none.
    pub fn has_table(&self, name: &str) -> bool {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)";
        self.db.query_row(sql, [name], |row| row.get(0)).unwrap_or(false)
    }

    fn of_copy(path: &Path, scratch: &Path) -> Result<Self, StoreError> {
        let folder = Scratch::new(scratch)?;
        let copy = folder.0.join("copy.sqlite3");
        let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", path.display()));
        for _ in 0..ATTEMPTS {
            let stamp = Stamp::of(path)?;
            fs::copy(path, &copy).map_err(io)?;
            fs::copy(wal_of(path), wal_of(&copy)).map_err(io)?;
            if stamp == Stamp::of(path)? {
                let db = Connection::open(&copy).map_err(|e| StoreError::sort(&e, path))?;
                return Ok(Self { db, stamp, _copy: Some(folder) });
            }
        }
        Err(StoreError::Busy(path.to_owned()))
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

fn wal_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A path inside a `file:` URI (RFC 3986): everything but unreserved characters and `/` as `%XX`.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut uri, &byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
        uri
    })
}
