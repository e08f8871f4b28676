//! The rows of the streams: what of each may be sent, and when.

use rusqlite::{Connection, OptionalExtension, params};

use super::SpoolError;
use crate::facts::Timestamp;

/// The number of a stream, which is made where there is none yet.
pub(super) fn number(db: &Connection, name: &str) -> Result<i64, SpoolError> {
    let found = db.prepare_cached("SELECT stream FROM streams WHERE name = ?1")?.query_row([name], |row| row.get(0));
    if let Some(stream) = found.optional()? {
        return Ok(stream);
    }
    db.prepare_cached("INSERT INTO streams (name) VALUES (?1)")?.execute([name])?;
    Ok(db.last_insert_rowid())
}

/// Makes a stream ready where the event at `seq` is its head. Behind another, the head's own turn wakes it.
pub(super) fn wake(db: &Connection, stream: i64, seq: i64, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM events WHERE stream = ?1 AND seq < ?2)";
    let behind: bool = db.prepare_cached(sql)?.query_row([stream, seq], |row| row.get(0))?;
    if !behind {
        db.prepare_cached("UPDATE streams SET ready_at = ?2 WHERE stream = ?1 AND stopped_at IS NULL")?
            .execute(params![stream, now.as_millis()])?;
    }
    Ok(())
}

/// Makes a stream ready at `at`, where anything in it is left to send and nothing stops it. While something of it is
/// in flight, it sleeps: what is settled next wakes it.
pub(super) fn ready(db: &Connection, stream: i64, at: Timestamp) -> Result<(), SpoolError> {
    db.prepare_cached(
        "UPDATE streams SET ready_at = iif(stopped_at IS NULL AND EXISTS (SELECT 1 FROM events WHERE stream = ?1)
                                               AND NOT EXISTS (SELECT 1 FROM events WHERE stream = ?1 AND state = 1),
                                           ?2, NULL)
         WHERE stream = ?1",
    )?
    .execute(params![stream, at.as_millis()])?;
    Ok(())
}

/// Lets a stream sleep of which nothing is left to send, or something is in flight. Another one stays as it is: what
/// its head waits for is not shortened.
pub(super) fn rest(db: &Connection, stream: i64) -> Result<(), SpoolError> {
    db.prepare_cached(
        "UPDATE streams SET ready_at = NULL
         WHERE stream = ?1 AND (NOT EXISTS (SELECT 1 FROM events WHERE stream = ?1)
                                OR EXISTS (SELECT 1 FROM events WHERE stream = ?1 AND state = 1))",
    )?
    .execute([stream])?;
    Ok(())
}

/// Stops a stream until the operator releases it. What stopped it first stays the reason.
pub(super) fn stop(db: &Connection, stream: i64, reason: &str, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "UPDATE streams SET ready_at = NULL, stopped_at = coalesce(stopped_at, ?2),
                                  stop_reason = coalesce(stop_reason, ?3)
               WHERE stream = ?1";
    db.prepare_cached(sql)?.execute(params![stream, now.as_millis(), reason])?;
    Ok(())
}

/// Lets a stopped stream go on. What contradicted each other in it has been seen.
pub(super) fn release(db: &Connection, name: &str, now: Timestamp) -> Result<bool, SpoolError> {
    let sql = "SELECT stream FROM streams WHERE name = ?1 AND stopped_at IS NOT NULL";
    let found = db.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
    let Some(stream): Option<i64> = found else { return Ok(false) };
    let sql = "UPDATE streams SET stopped_at = NULL, stop_reason = NULL WHERE stream = ?1";
    db.prepare_cached(sql)?.execute([stream])?;
    db.prepare_cached("UPDATE claims SET is_open = 0 WHERE stream = ?1 AND is_open = 1")?.execute([stream])?;
    ready(db, stream, now)?;
    Ok(true)
}
