//! What becomes of an event whose record does not open.

use rusqlite::{Connection, params};

use super::open::Inner;
use super::{Event, PAYLOAD_DRIFT, SpoolError, State, gap, stream};
use crate::facts::{EventId, Timestamp};

/// Sets an event aside whose record does not open, with a signed record in its place. Its stream goes on behind it.
/// `stored` is how many bytes are really there. What is kept of the row is what could be read of it.
pub(super) fn set_aside(
    db: &Connection,
    inner: &Inner,
    event: &mut Event,
    stored: usize,
    now: Timestamp,
) -> Result<(), SpoolError> {
    // An id that cannot be, or is another's, is what was changed.
    let sql = "SELECT EXISTS (SELECT 1 FROM settled WHERE event_id = ?1)";
    let is_taken = db.prepare_cached(sql)?.query_row([event.event_id.as_bytes()], |row| row.get(0))?;
    if is_taken || event.event_id == EventId::from_bytes([0; 16]) {
        event.event_id = EventId::new(now);
    }
    gap::put(db, inner, event, now)?;
    let stream: i64 =
        db.prepare_cached("SELECT stream FROM events WHERE seq = ?1")?.query_row([event.seq], |row| row.get(0))?;
    let size = event.payload_size.min(stored as u64);
    db.prepare_cached(
        "INSERT INTO settled (seq, event_id, stream, source_ref, state, attempt, failures, created_at, payload_sha256,
                              payload_size, epoch, last_error, settled_at, has_content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                 EXISTS (SELECT 1 FROM contents WHERE seq = ?1))",
    )?
    .execute(params![
        event.seq,
        event.event_id.as_bytes(),
        stream,
        event.source_ref,
        State::Dead as i64,
        event.attempt,
        event.failures,
        event.created_at.as_millis(),
        event.payload_sha256.as_bytes(),
        size,
        event.epoch,
        PAYLOAD_DRIFT,
        now.as_millis()
    ])?;
    db.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([event.seq])?;
    Inner::count(db, Some(event.state), State::Dead, size)?;
    stream::rest(db, stream)
}
