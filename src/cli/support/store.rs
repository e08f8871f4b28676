use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::cli::failure::Failure;
use crate::store::StoreError;

/// How long the check of the pages may take: a spool of millions takes minutes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tables of a spool, and whether its pages are whole. Reads, and changes nothing.
pub(super) fn check(path: &Path) -> Result<String, Failure> {
    let look = || -> rusqlite::Result<String> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let mut told = String::new();
        for pragma in ["user_version", "page_size", "page_count", "freelist_count", "journal_mode", "auto_vacuum"] {
            let value: rusqlite::types::Value = db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
            // Writing to a String cannot fail.
            let _ = writeln!(told, "{pragma}: {value:?}");
        }
        let _ = writeln!(told, "quick check: {}", quick_check(&db)?);
        let mut tables = db.prepare("SELECT sql FROM sqlite_schema WHERE sql NOTNULL ORDER BY name")?;
        let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
        tables.collect::<Result<Vec<_>, _>>()?.iter().for_each(|sql| _ = writeln!(told, "\n{sql};"));
        Ok(told)
    };
    Ok(look().map_err(StoreError::from)?)
}

fn quick_check(db: &Connection) -> rusqlite::Result<String> {
    let (done, wait) = mpsc::channel::<()>();
    let interrupt = db.get_interrupt_handle();
    thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(PATIENCE).is_err_and(|e| e == mpsc::RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        });
        let checked = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        drop(done);
        match checked {
            Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == ErrorCode::OperationInterrupted => {
                Ok(format!("nothing wrong within {} s; not finished", PATIENCE.as_secs()))
            }
            checked => checked,
        }
    })
}
