use rusqlite::{Connection, OptionalExtension, params};

use super::open::Inner;
use super::{Answer, Event, SpoolError, State, destination};
use crate::facts::Timestamp;

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// A matching receipt came.
    Receipted(Answer),
    /// The receiver holds other content; its answer is the evidence.
    Conflict(Answer),
    /// The receiver judged against the event.
    Judged {
        /// What it said, by name.
        error: String,
        /// When it may be sent again; `None`: it was judged against too often and is dead.
        retry_at: Option<Timestamp>,
        /// The answer of the last judgement, kept with a dead event.
        answer: Option<Answer>,
    },
    /// Nothing was said about the event: it waits, and nothing is counted against it.
    Unjudged {
        /// What happened, by name.
        error: String,
        /// What follows for the destination.
        park: Park,
    },
}

/// What an unjudged send means for the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Park {
    /// It was not reached, or it did not judge: it is parked until this time.
    Until(Timestamp),
    /// It has revoked the installation.
    Revoked,
    /// It was not asked: the trouble was on our side, and the event may be sent again at this time.
    NotAsked(Timestamp),
}

/// What a damaged record's event is dead of; the published package calls it so too.
pub const PAYLOAD_DRIFT: &str = "payload-drift";

/// Settles the send of the event at `seq`, and makes its stream ready again. An event that is not in flight was
/// settled before, by a turn whose answer its caller did not see: nothing changes.
pub(super) fn settle(db: &Connection, seq: i64, settlement: &Settlement, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "SELECT stream, payload_size FROM events WHERE seq = ?1 AND state = ?2";
    let in_flight = params![seq, State::Relaying as i64];
    let found = db.prepare_cached(sql)?.query_row(in_flight, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((stream, size)) = found else { return Ok(()) };
    let (state, error, ready_at) = match settlement {
        Settlement::Receipted(_) => (State::Receipted, None, now),
        Settlement::Conflict(_) => (State::Conflict, Some("conflict"), now),
        Settlement::Judged { error, retry_at: Some(at), .. } => (State::Queued, Some(error.as_str()), *at),
        Settlement::Judged { error, retry_at: None, .. } => (State::Dead, Some(error.as_str()), now),
        Settlement::Unjudged { error, park: Park::NotAsked(at) } => (State::Queued, Some(error.as_str()), *at),
        Settlement::Unjudged { error, .. } => (State::Queued, Some(error.as_str()), now),
    };
    let judged = i64::from(matches!(settlement, Settlement::Judged { .. }));
    db.prepare_cached("UPDATE events SET state = ?2, last_error = ?3, failures = failures + ?4 WHERE seq = ?1")?
        .execute(params![seq, state as i64, error, judged])?;
    Inner::count(db, Some(State::Relaying), state, size)?;
    ready(db, stream, ready_at)?;
    match settlement {
        Settlement::Receipted(answer) | Settlement::Conflict(answer) => keep(db, seq, answer)?,
        Settlement::Judged { retry_at: None, answer: Some(answer), .. } => keep(db, seq, answer)?,
        Settlement::Judged { .. } => {}
        Settlement::Unjudged { error, park: Park::Until(at) } => return destination::park(db, error, *at, now),
        Settlement::Unjudged { park: Park::Revoked, .. } => return destination::revoke(db, now),
        Settlement::Unjudged { park: Park::NotAsked(_), .. } => return Ok(()),
    }
    // Whatever the receiver said, it spoke.
    destination::unpark(db, now)
}

/// Sets an event aside whose record does not open. Its stream goes on behind it. `stored` is how many bytes are
/// really there: the size in the row may be what was changed.
pub(super) fn set_aside(db: &Connection, event: &Event, stream: i64, stored: usize) -> Result<(), SpoolError> {
    db.execute(
        "UPDATE events SET state = ?2, last_error = ?3 WHERE seq = ?1",
        params![event.seq, State::Dead as i64, PAYLOAD_DRIFT],
    )?;
    Inner::count(db, Some(event.state), State::Dead, event.payload_size.min(stored as u64))?;
    ready(db, stream, Timestamp::from_millis(0))
}

/// Makes a stream ready at `at`, where anything in it is left to send.
fn ready(db: &Connection, stream: i64, at: Timestamp) -> Result<(), SpoolError> {
    db.prepare_cached(
        "UPDATE streams SET ready_at = iif(EXISTS (SELECT 1 FROM events WHERE stream = ?1 AND state < 2), ?2, NULL)
         WHERE stream = ?1",
    )?
    .execute(params![stream, at.as_millis()])?;
    Ok(())
}

fn keep(db: &Connection, seq: i64, answer: &Answer) -> Result<(), SpoolError> {
    let sent = &answer.sent;
    db.prepare_cached(
        "INSERT INTO answers (seq, installation_id, attempt, signed_at, signature, public_key, status, body,
                              received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        seq,
        sent.installation_id,
        sent.attempt,
        sent.signed_at.as_millis(),
        sent.signature.as_bytes(),
        sent.public_key.to_bytes(),
        answer.status,
        answer.body,
        answer.received_at.as_millis()
    ])?;
    Ok(())
}
