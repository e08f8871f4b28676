//! A dead event's way back into its stream.

use rusqlite::{Connection, OptionalExtension, params};

use super::open::Inner;
use super::{SpoolError, State, stream};
use crate::facts::{EventId, Timestamp};

/// Puts a dead event back where it was.
pub(super) fn retry(db: &Connection, event_id: EventId, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "SELECT seq, state, stream, payload_size, has_content FROM settled WHERE event_id = ?1";
    let found = db
        .prepare_cached(sql)?
        .query_row([event_id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((seq, state, number, size, has_content)): Option<(i64, i64, i64, u64, bool)> = found else {
        return Err(SpoolError::NotDead { event_id });
    };
    if State::from_number(state)? != State::Dead {
        return Err(SpoolError::NotDead { event_id });
    }
    // What stands in its place is signed, and stays.
    let sql = "SELECT EXISTS (SELECT 1 FROM gaps WHERE seq = ?1)";
    if db.prepare_cached(sql)?.query_row([seq], |row| row.get(0))? {
        return Err(SpoolError::Tampered { event_id });
    }
    if !has_content {
        return Err(SpoolError::Purged { event_id });
    }
    db.prepare_cached(
        "INSERT INTO events
         SELECT seq, event_id, stream, source_ref, ?2, attempt, 0, created_at, payload_sha256, payload_size, epoch,
                last_error
         FROM settled WHERE seq = ?1",
    )?
    .execute(params![seq, State::Queued as i64])?;
    // What the receiver said is not forgotten.
    db.prepare_cached(
        "INSERT INTO claims (seq, stream, is_open, installation_id, sent_attempt, signed_at, signature, public_key, status,
                             body, received_at)
         SELECT seq, stream, 1, installation_id, sent_attempt, signed_at, signature, public_key, status, body, received_at
         FROM settled WHERE seq = ?1 AND body IS NOT NULL",
    )?
    .execute([seq])?;
    db.prepare_cached("DELETE FROM settled WHERE seq = ?1")?.execute([seq])?;
    Inner::count(db, Some(State::Dead), State::Queued, size)?;
    stream::ready(db, number, now)
}
