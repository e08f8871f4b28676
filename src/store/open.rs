use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::path::{open_immutable, wal_of};
use super::schema::version as schema_version;
use super::{RoleLock, Schema, StoreError, doubt};
use crate::facts::{folder_of, with_suffix};

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For writing; a missing file is an error.
    Change,
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
/// One step of a vacuum: a megabyte comes back, and twice as much is logged at most.
const VACUUM_STEP: &str = "PRAGMA incremental_vacuum(256)";
/// Pages that may lie in the log when a step begins: 4 MiB.
const LOG_PAGES: i64 = 1024;

/// The role of whoever makes the file or brings its schema up to date.
const SETUP: &str = "setup";

/// Opens a store, reads back every setting that durability rests on, and brings the schema up to date.
/// Blocks on the disk, and on another process that is doing the same.
pub fn open(path: &Path, schema: &Schema, access: Access) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Sql(format!("SQLite {} can corrupt a WAL", rusqlite::version())));
    }
    refuse_emptied(path)?;
    admit(path, schema, access)?;
    // Two processes that make the file at once would meet in the middle of its first pages.
    let _setup = RoleLock::wait(path, SETUP)?;
    // Another one may have made it meanwhile.
    let found = admit(path, schema, access)?;
    let opened = match found {
        FileKind::Nothing => create(path, schema).and_then(|()| connect(path, schema, access)),
        _ => connect(path, schema, access),
    };
    opened.map_err(|e| match e {
        Setup::Io(e) => StoreError::Io(format!("{}: {e}", path.display())),
        Setup::Sqlite(e) => StoreError::sort(&e, path),
        Setup::Store(e) => e,
    })
}

/// Clears what was deleted out of the write-ahead log, and hands free pages back to the file system, as far as other
/// processes let it: a few at a time, so that the log stays small on a disk that has no room, and others write between.
/// Blocks on the disk.
pub fn tidy(path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let db = open(path, schema, Access::Change)?;
    let free = || db.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let mut left = free()?;
    // What somebody reads meanwhile stays in the log, and everything after it: then the rest is for the next time.
    while left > 0 && checkpoint(&db)? <= LOG_PAGES {
        step_through(&db, VACUUM_STEP)?;
        let now = free()?;
        // Others may free pages meanwhile, and none of ours may come back: no end is waited for.
        if now >= left {
            break;
        }
        left = now;
    }
    step_through(&db, "PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Moves to the file what the log holds, and holds nobody up for it. Gives how many pages could not be moved.
fn checkpoint(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
}

/// Runs a pragma that works a step at a time, with a row for each.
pub fn step_through(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Tells what lies at `path`, without changing it and without opening a foreign file as a store.
pub fn file_kind(path: &Path, schema: &Schema) -> Result<FileKind, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() == 0 => return Ok(FileKind::Nothing),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(FileKind::Nothing),
        Err(e) => return Err(StoreError::Io(format!("{}: {e}", path.display()))),
    }
    match application_id(path) {
        Ok(id) if u32::cast_signed(schema.application_id) == id => Ok(FileKind::Ours),
        Ok(_) => Ok(FileKind::OtherDatabase),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Ok(FileKind::Other),
        Err(e) => Err(StoreError::sort(&e, path)),
    }
}

fn application_id(path: &Path) -> rusqlite::Result<i32> {
    let db = open_immutable(path)?;
    // After a crash within a checkpoint the file alone is shorter than its header says, and its WAL has the rest.
    // This makes SQLite read the header nevertheless.
    db.pragma_update(None, "writable_schema", true)?;
    db.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Refuses a file that is empty where a store has been: it was truncated, and a new one in its place would forget
/// everything that was signed. Nothing of ours ever leaves an empty file there.
fn refuse_emptied(path: &Path) -> Result<(), StoreError> {
    let is_empty = fs::metadata(path).is_ok_and(|meta| meta.len() == 0);
    if is_empty && RoleLock::was_taken(path, SETUP) {
        return Err(StoreError::Damaged(format!("{} is empty, and was not", path.display())));
    }
    Ok(())
}

/// Refuses what is not to be opened, and tells whether the file is there.
fn admit(path: &Path, schema: &Schema, access: Access) -> Result<FileKind, StoreError> {
    let found = file_kind(path, schema)?;
    match (found, access) {
        (FileKind::OtherDatabase | FileKind::Other, _) => {
            Err(StoreError::Foreign { path: path.to_owned(), expected: schema.name })
        }
        (FileKind::Nothing, Access::Change | Access::Read) => Err(StoreError::Missing(path.to_owned())),
        (FileKind::Nothing | FileKind::Ours, _) => Ok(found),
    }
}

/// Makes the file under another name and moves it to its place, so that a crash leaves nothing there or a whole
/// database. It is readable by its owner alone; SQLite gives the WAL the same mode.
fn create(path: &Path, schema: &Schema) -> Result<(), Setup> {
    if fs::metadata(wal_of(path)).is_ok_and(|meta| meta.len() > 0) {
        // SQLite would delete it, with everything that was committed to it.
        return Err(StoreError::Damaged(format!("{} is gone, and its WAL is there", path.display())).into());
    }
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
        // Perhaps the disk behind it is not mounted.
        return Err(StoreError::Io(format!("{} is a link to nothing", path.display())).into());
    }
    let draft = with_suffix(path, ".draft");
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let db = Connection::open_with_flags(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.pragma_update(None, "journal_mode", "MEMORY")?;
    // Before the first table: this cannot change later.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "application_id", schema.application_id)?;
    db.close().map_err(|(_, e)| e)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(File::open(folder_of(path))?.sync_all()?)
}

enum Setup {
    Io(io::Error),
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<io::Error> for Setup {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rusqlite::Error> for Setup {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Setup {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
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
    // Before anything is set, which would change a file that is to be refused.
    let version = schema_version(&db)?;
    if version > schema.migrations.len() {
        return Err(StoreError::Newer(path.to_owned()).into());
    }
    if !schema.is_whole(&db)? {
        return Err(StoreError::Damaged("its tables are not as they were made".into()).into());
    }
    if version == 0 && access != Access::Create {
        // Whoever made it has not come to its tables.
        return Err(StoreError::Missing(path.to_owned()).into());
    }
    settings(&db)?;
    if access == Access::Read {
        db.pragma_update(None, "query_only", true)?;
        return Ok(db);
    }
    doubt::settle(&db, path)?;
    if version < schema.migrations.len() {
        schema.migrate(&mut db)?;
    }
    Ok(db)
}

/// Sets what durability and hygiene rest on, and reads it back: SQLite ignores a pragma that it does not know.
fn settings(db: &Connection) -> Result<(), Setup> {
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Io(format!("the file system gives no WAL (journal_mode={mode})")).into());
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
            return Err(StoreError::Sql(format!("PRAGMA {name} reads back as {read:?}")).into());
        }
    }
    // A plan never depends on bound values. Without this a statement that compares one with what a partial index is
    // limited to is prepared anew for each event.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}
