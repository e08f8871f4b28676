use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{RoleLock, StoreError};

/// What a store holds.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// In words, for errors: "spool".
    pub name: &'static str,
    /// SQLite's application id, which tells our files from others'.
    pub application_id: u32,
    /// The scripts that lead to version 1, to version 2, and so on.
    pub migrations: &'static [&'static [&'static str]],
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Made where it is not there yet.
    Create,
    /// For reading only; a missing file is an error.
    Read,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing, or an empty file.
    Nothing,
    /// A store of the schema that was asked for.
    Ours,
    /// An SQLite database of somebody else.
    OtherDatabase,
    /// Anything else.
    Other,
}

/// The oldest SQLite without the bug that corrupts a WAL when two connections write and checkpoint: 3.51.3.
const OLDEST_SQLITE: i32 = 3_051_003;
/// Pages in the WAL before the writer checkpoints it: 16 MiB.
const CHECKPOINT_PAGES: i32 = 4000;
/// How long a process waits for another's transaction, in steps of [`BUSY_STEP`].
const BUSY_STEPS: i32 = 100_000;
const BUSY_STEP: Duration = Duration::from_micros(100);

/// Opens a store, reads back every setting that durability rests on, and brings the schema up to date.
/// Blocks on the disk, and on another process that is doing the same.
pub fn open(path: &Path, schema: &Schema, access: Access) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Sql(format!("SQLite {} can corrupt a WAL", rusqlite::version())));
    }
    let found = file_kind(path, schema)?;
    match (found, access) {
        (FileKind::OtherDatabase | FileKind::Other, _) => {
            return Err(StoreError::Foreign { path: path.to_owned(), expected: schema.name });
        }
        (FileKind::Nothing, Access::Read) => return Err(StoreError::Missing(path.to_owned())),
        (FileKind::Nothing | FileKind::Ours, _) => {}
    }
    // Two processes that make the file at once would meet in the middle of its first pages.
    let _setup = RoleLock::wait(path, "setup")?;
    if access == Access::Create {
        create(path)?;
    }
    connect(path, schema, access).map_err(|e| match e {
        Setup::Store(e) => e,
        Setup::Sqlite(e) => StoreError::sort(&e, path),
    })
}

/// Tells what lies at `path` by its first bytes, without opening it as a database.
pub fn file_kind(path: &Path, schema: &Schema) -> Result<FileKind, StoreError> {
    let mut header = Vec::new();
    match File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)) {
        Ok(0) => return Ok(FileKind::Nothing),
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(FileKind::Nothing),
        Err(e) => return Err(StoreError::Io(format!("{}: {e}", path.display()))),
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Ok(FileKind::Other);
    }
    // https://www.sqlite.org/fileformat.html, section 1.3: the application id is at offset 68.
    let ours = header[68..72] == schema.application_id.to_be_bytes();
    Ok(if ours { FileKind::Ours } else { FileKind::OtherDatabase })
}

/// Makes the file, readable by its owner alone (SQLite gives the WAL the same mode), and its name durable.
fn create(path: &Path) -> Result<(), StoreError> {
    let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", path.display()));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(io)?;
            File::open(folder).and_then(|f| f.sync_all()).map_err(io)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io(e)),
    }
}

enum Setup {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Setup {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn connect(path: &Path, schema: &Schema, access: Access) -> Result<Connection, Setup> {
    let mut db =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // SQLite's own handler sleeps for up to 100 ms, which starves a third process for seconds.
    db.busy_handler(Some(|tries| {
        thread::sleep(BUSY_STEP);
        tries < BUSY_STEPS
    }))?;
    let fresh = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))? == 0;
    if fresh {
        // Before the first page: these cannot change later.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        db.pragma_update(None, "application_id", schema.application_id)?;
    }
    settings(&db)?;
    if access == Access::Create {
        migrate(&mut db, path, schema)?;
    } else {
        db.pragma_update(None, "query_only", true)?;
    }
    Ok(db)
}

/// Sets what durability and hygiene rest on, and reads it back: SQLite ignores a pragma that it does not know.
fn settings(db: &Connection) -> Result<(), Setup> {
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Setup::Store(StoreError::Io(format!("the file system gives no WAL (journal_mode={mode})"))));
    }
    const SETTINGS: [(&str, i64); 7] = [
        ("synchronous", 2), // FULL
        ("secure_delete", 1),
        ("wal_autocheckpoint", CHECKPOINT_PAGES as i64),
        ("mmap_size", 0),
        ("cell_size_check", 1),
        ("trusted_schema", 0),
        ("foreign_keys", 1),
    ];
    for (name, value) in SETTINGS {
        // Some of these answer with a row when they are set, and some do not.
        db.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|e| match e {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            e => Err(e),
        })?;
        let read: Option<i64> = db.pragma_query_value(None, name, |row| row.get(0)).map(Some).or_else(|e| match e {
            rusqlite::Error::QueryReturnedNoRows => Ok(None), // mmap_size where memory mapping is compiled out
            e => Err(e),
        })?;
        if read.is_some_and(|read| read != value) {
            return Err(Setup::Store(StoreError::Sql(format!("PRAGMA {name} reads back as {read:?}"))));
        }
    }
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn migrate(db: &mut Connection, path: &Path, schema: &Schema) -> Result<(), Setup> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > schema.migrations.len() {
        return Err(Setup::Store(StoreError::Newer(path.to_owned())));
    }
    for script in schema.migrations[version..].iter().copied().flatten() {
        tx.execute_batch(script)?;
    }
    tx.pragma_update(None, "user_version", schema.migrations.len())?;
    Ok(tx.commit()?)
}
