use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::StoreError;
use super::path::wal_of;
use crate::facts::with_suffix;

/// Notes that a commit failed, for whoever opens the store next. As good as the disk lets it be.
pub(super) fn note(path: &Path) {
    // The process stops anyway.
    let _ = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(note_of(path));
}

/// Writes the log once more where a commit had failed, and syncs it, before anything rests on it.
///
/// After a sync that failed the kernel takes the pages for clean: they are read back from memory as if they were there,
/// and no later sync writes them. What SQLite recovers from such a log would be gone with the power, and what was
/// committed behind it too (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
pub(super) fn settle(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let note = note_of(path);
    if !note.exists() {
        return Ok(());
    }
    // Nobody else writes to the log meanwhile, or begins a new one.
    db.execute_batch("BEGIN IMMEDIATE")?;
    let written = write_again(&wal_of(&real(path))).and_then(|()| fs::remove_file(note));
    db.execute_batch("ROLLBACK")?;
    written.map_err(|e| StoreError::Io(format!("{}: {e}", path.display())))
}

/// Puts the same bytes in the same places. SQLite holds no lock on the log itself that closing it could give up.
fn write_again(wal: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(wal)?;
    let (mut chunk, mut at) = (vec![0; 1 << 20], 0);
    loop {
        let length = file.read_at(&mut chunk, at)?;
        if length == 0 {
            return file.sync_all();
        }
        file.write_all_at(&chunk[..length], at)?;
        at += length as u64;
    }
}

fn note_of(path: &Path) -> PathBuf {
    with_suffix(&real(path), ".doubt")
}

/// SQLite puts the log beside the file itself, not beside a link to it.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
