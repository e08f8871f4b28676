//! How long the content of what is settled is kept. Evidence is kept for ever.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::control::Purged;
use super::{SCHEMA, SpoolControl, SpoolError, State};
use crate::facts::Timestamp;
use crate::store::{self, StoreError, step_through};

/// How much content of receipted events is kept; whichever is less. Dead events and conflicts keep theirs until the
/// operator purges them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For so long after they were settled; `None`: for ever.
    pub keep_for: Option<Duration>,
    /// So many events; `None`: all.
    pub keep_events: Option<u64>,
}

impl Default for Retention {
    /// A month, however many.
    fn default() -> Self {
        Self { keep_for: Some(Duration::from_secs(30 * 24 * 60 * 60)), keep_events: None }
    }
}

impl SpoolControl {
    /// Hands what is free in the file back to the disk, as a [`purge`](Self::purge) does in the end: for one that was
    /// interrupted, or that somebody's reading held up.
    pub async fn give_back(&self) -> Result<(), SpoolError> {
        let path = self.path.clone();
        let tidied = tokio::task::spawn_blocking(move || store::tidy(&path, &SCHEMA));
        Ok(tidied.await.unwrap_or(Err(StoreError::Stopped))?)
    }
}

/// Drops what has been kept long enough, at most `limit` contents.
pub(super) fn expire(db: &Connection, retention: Retention, now: Timestamp, limit: usize) -> Result<(), SpoolError> {
    if let Some(keep_for) = retention.keep_for {
        let keep_ms = i64::try_from(keep_for.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(keep_ms));
        drop_some(db, State::Receipted, before, limit, u64::MAX)?;
    }
    if let Some(keep_events) = retention.keep_events {
        let sql = "SELECT contents FROM totals WHERE state = ?1";
        let kept: u64 = db.prepare_cached(sql)?.query_row([State::Receipted as i64], |row| row.get(0))?;
        let excess = usize::try_from(kept.saturating_sub(keep_events)).unwrap_or(usize::MAX);
        if excess > 0 {
            drop_some(db, State::Receipted, Timestamp::from_millis(i64::MAX), excess.min(limit), u64::MAX)?;
        }
    }
    Ok(())
}

/// What an operator drops in one transaction: of `limit` events at most, oldest first, and about a megabyte; nothing
/// only where nothing is left. Each page that it frees is overwritten by way of the write-ahead log, and the disk may be
/// full: the log is kept small from here on.
pub(super) fn drop_contents(
    db: &Connection,
    state: State,
    before: Timestamp,
    limit: usize,
) -> Result<Purged, SpoolError> {
    /// Bytes of payload.
    const AT_ONCE: u64 = 1024 * 1024;
    /// Pages in the log from which on they are moved to the file: 2 MiB.
    const SMALL_LOG: i64 = 512;
    db.pragma_update_and_check(None, "wal_autocheckpoint", SMALL_LOG, |_| Ok(()))?;
    drop_some(db, state, before, limit, AT_ONCE)
}

/// Drops the content of at most `limit` events in `state` that were settled before `before`, oldest first, and of no
/// more once these were `bytes`.
fn drop_some(db: &Connection, state: State, before: Timestamp, limit: usize, bytes: u64) -> Result<Purged, SpoolError> {
    let sql = "SELECT seq, payload_size FROM settled WHERE state = ?1 AND has_content = 1 AND settled_at < ?2
               ORDER BY settled_at LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found: Vec<(i64, u64)> = db
        .prepare_cached(sql)?
        .query_map(params![state as i64, before.as_millis(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut purged = Purged::default();
    for (seq, size) in found {
        if purged.bytes >= bytes {
            break;
        }
        db.prepare_cached("DELETE FROM contents WHERE seq = ?1")?.execute([seq])?;
        db.prepare_cached("UPDATE settled SET has_content = 0 WHERE seq = ?1")?.execute([seq])?;
        purged.events += 1;
        purged.bytes = purged.bytes.saturating_add(size);
    }
    if purged.events > 0 {
        let sql = "UPDATE totals SET contents = max(contents - ?2, 0) WHERE state = ?1";
        db.prepare_cached(sql)?.execute(params![state as i64, purged.events])?;
    }
    Ok(purged)
}

/// Hands pages that are free back to the file system, a few at a time, where there are many.
pub(super) fn give_back(db: &Connection) -> Result<(), SpoolError> {
    /// 4 MiB: what is free below that is soon used again.
    const WORTH_IT: i64 = 1024;
    let free: i64 = db.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
    if free > WORTH_IT {
        step_through(db, "PRAGMA incremental_vacuum(256)")?;
    }
    Ok(())
}
