use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::row::{ANSWER, SELECT_PENDING, SELECT_SETTLED, answer_row, event_row};
use super::schema::SCHEMA;
use super::{Answer, Destination, Event, Spool, SpoolError, State, Totals, Usage, record};
use crate::custody::Sealed;
use crate::facts::{EventId, Timestamp};
use crate::protocol::Signature;
use crate::store::{self, Access};

/// Looks into a spool without any key: everything but the payloads. Beside whoever writes.
#[derive(Debug)]
pub struct SpoolReader {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
}

/// A stream of which nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its name.
    pub stream_id: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, by name.
    pub reason: String,
}

/// Which events are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state alone.
    pub state: Option<State>,
    /// In this stream alone.
    pub stream_id: Option<String>,
    /// Behind this place in the order.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
}

impl SpoolReader {
    /// Opens a spool that is there. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, SpoolError> {
        Ok(Self { db: store::open(path, &SCHEMA, Access::Read)?, path: path.to_owned() })
    }

    /// Events in the order they were spooled.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Event>, SpoolError> {
        let of_stream = "(?2 IS NULL OR s.name = ?2)";
        let pending = |state| format!("{SELECT_PENDING} WHERE e.seq > ?1 AND {of_stream} AND {state}");
        let settled = |state| format!("{SELECT_SETTLED} WHERE e.seq > ?1 AND {of_stream} AND {state}");
        // In words that let SQLite use the indices of what is in flight and of what was refused.
        let sql = match filter.state {
            None => format!("{} UNION ALL {}", pending("true"), settled("true")),
            Some(State::Queued) => pending("state = 0"),
            Some(State::Relaying) => pending("state = 1"),
            Some(State::Receipted) => settled("state = 2"),
            Some(State::Conflict) => settled("state > 2 AND state = 3"),
            Some(State::Dead) => settled("state > 2 AND state = 4"),
        };
        let mut statement = self.db.prepare_cached(&format!("{sql} ORDER BY seq LIMIT ?3"))?;
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![filter.after, filter.stream_id, limit], event_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One event.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, SpoolError> {
        event(&self.db, id)
    }

    /// The answer that settled an event, whole.
    pub fn answer(&self, event: &Event) -> Result<Option<Answer>, SpoolError> {
        let sql = format!("SELECT {ANSWER} FROM settled WHERE seq = ?1 AND body IS NOT NULL");
        let row = self.db.prepare_cached(&sql)?.query_row([event.seq], |row| answer_row(row, event.event_id));
        row.optional()?.transpose()
    }

    /// Answers that carry a receipt for an event and did not settle it, oldest first: what contradicts what.
    pub fn claims(&self, event: &Event) -> Result<Vec<Answer>, SpoolError> {
        let sql = format!("SELECT {ANSWER} FROM claims WHERE seq = ?1 ORDER BY id");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map([event.seq], |row| answer_row(row, event.event_id))?;
        rows.map(|answer| answer?).collect()
    }

    /// The signed record in the place of an event that was damaged: canonical JSON, and the record key's signature.
    pub fn gap(&self, event: &Event) -> Result<Option<(Vec<u8>, Signature)>, SpoolError> {
        let sql = "SELECT record, signature FROM gaps WHERE seq = ?1";
        let mut statement = self.db.prepare_cached(sql)?;
        let row = statement.query_row([event.seq], |row| Ok((row.get(0)?, Signature::from_bytes(row.get(1)?))));
        Ok(row.optional()?)
    }

    /// The streams that are stopped until the operator releases them.
    pub fn stopped(&self) -> Result<Vec<Stopped>, SpoolError> {
        let sql = "SELECT name, stopped_at, coalesce(stop_reason, '') FROM streams WHERE stopped_at IS NOT NULL";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| {
            let since = Timestamp::from_millis(row.get(1)?);
            Ok(Stopped { stream_id: row.get(0)?, since, reason: row.get(2)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How much there is of what [`Limits`](super::Limits) limit.
    pub fn usage(&self) -> Result<Usage, SpoolError> {
        Usage::read(&self.db, &self.path)
    }

    /// When the newest receipt came.
    pub fn last_receipt(&self) -> Result<Option<Timestamp>, SpoolError> {
        let mut statement = self.db.prepare_cached("SELECT receipted_at FROM destination")?;
        let at: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// How much is in each state, without counting.
    pub fn totals(&self) -> Result<Vec<Totals>, SpoolError> {
        let mut statement =
            self.db.prepare_cached("SELECT state, events, bytes, contents FROM totals ORDER BY state")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.map(|row| {
            let (state, events, bytes, contents) = row?;
            Ok(Totals { state: State::from_number(state)?, events, bytes, contents })
        })
        .collect()
    }

    /// When the oldest event was spooled that is not settled.
    pub fn oldest_pending(&self) -> Result<Option<Timestamp>, SpoolError> {
        let sql = "SELECT created_at FROM events ORDER BY seq LIMIT 1";
        let found = self.db.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        Ok(found.map(Timestamp::from_millis))
    }

    /// The newest epoch and how many there are.
    pub fn epochs(&self) -> Result<(u32, u32), SpoolError> {
        let sql = "SELECT coalesce(max(epoch), 0), count(*) FROM epochs";
        Ok(self.db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// What the spool knows of the receiver.
    pub fn destination(&self) -> Result<Destination, SpoolError> {
        Destination::read(&self.db)
    }
}

impl Spool {
    /// Opens an event's canonical payload; `None` where there is no such event.
    pub async fn payload(&self, id: EventId) -> Result<Option<Zeroizing<Vec<u8>>>, SpoolError> {
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let Some(event) = event(db, id)? else { return Ok(None) };
                let Some(sealed) = sealed(db, event.seq)? else {
                    let event_id = event.event_id;
                    let was_purged = event.state.is_settled();
                    return Err(if was_purged {
                        SpoolError::Purged { event_id }
                    } else {
                        SpoolError::Tampered { event_id }
                    });
                };
                record::open(db, &inner.epochs, &inner.spool_id, &event, &sealed).map(Some)
            })
            .await
    }
}

fn event(db: &Connection, id: EventId) -> Result<Option<Event>, SpoolError> {
    let sql = format!("{SELECT_PENDING} WHERE event_id = ?1 UNION ALL {SELECT_SETTLED} WHERE event_id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id.as_bytes()], event_row).optional()?)
}

pub(super) fn sealed(db: &Connection, seq: i64) -> Result<Option<Sealed>, SpoolError> {
    let mut statement = db.prepare_cached("SELECT nonce, sealed FROM contents WHERE seq = ?1")?;
    let sealed = |row: &Row<'_>| {
        Ok(Sealed { nonce: row.get(0).unwrap_or_default(), ciphertext: row.get(1).unwrap_or_default() })
    };
    Ok(statement.query_row([seq], sealed).optional()?)
}
