use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::schema::SCHEMA;
use super::{Answer, Destination, Event, SignedEnvelope, Spool, SpoolError, State, Totals, record};
use crate::custody::Sealed;
use crate::facts::{Digest, EventId, Timestamp};
use crate::protocol::{PublicKey, Signature};
use crate::store::{self, Access, StoreError};

/// Looks into a spool without any key: everything but the payloads. Beside whoever writes.
#[derive(Debug)]
pub struct SpoolReader {
    db: Connection,
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
        Ok(Self { db: store::open(path, &SCHEMA, Access::Read)? })
    }

    /// Events in the order they were spooled.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Event>, SpoolError> {
        // In words that let SQLite use the indices of what is pending and of what was refused.
        let state = match filter.state {
            None => "?2 IS NULL",
            Some(State::Queued | State::Relaying) => "state < 2 AND state = ?2",
            Some(State::Receipted) => "state = ?2",
            Some(State::Conflict | State::Dead) => "state > 2 AND state = ?2",
        };
        let sql = format!("{SELECT} WHERE seq > ?1 AND {state} AND (?3 IS NULL OR s.name = ?3) ORDER BY seq LIMIT ?4");
        let mut statement = self.db.prepare_cached(&sql)?;
        let number = filter.state.map(|s| s as i64);
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![filter.after, number, filter.stream_id, limit], event_row)?;
        rows.map(|row| Ok(row??)).collect()
    }

    /// One event.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, SpoolError> {
        event(&self.db, id)
    }

    /// The answer that settled an event, whole.
    pub fn answer(&self, event: &Event) -> Result<Option<Answer>, SpoolError> {
        let sql = "SELECT installation_id, attempt, signed_at, signature, public_key, status, body, received_at
                   FROM answers WHERE seq = ?1";
        let tampered = || SpoolError::Tampered { event_id: event.event_id };
        let row = self.db.prepare_cached(sql)?.query_row([event.seq], |row| {
            let key: Vec<u8> = row.get(4)?;
            let public_key = PublicKey::from_hex(&hex::encode(key)).map_err(|_| tampered());
            Ok(public_key.map(|public_key| {
                let sent = SignedEnvelope {
                    installation_id: row.get(0)?,
                    attempt: row.get(1)?,
                    signed_at: Timestamp::from_millis(row.get(2)?),
                    signature: Signature::from_bytes(row.get(3)?),
                    public_key,
                };
                let received_at = Timestamp::from_millis(row.get(7)?);
                Ok::<_, rusqlite::Error>(Answer { sent, status: row.get(5)?, body: row.get(6)?, received_at })
            }))
        });
        row.optional()?.map(|answer| Ok(answer??)).transpose()
    }

    /// How much is in each state, without counting.
    pub fn totals(&self) -> Result<Vec<Totals>, SpoolError> {
        let mut statement = self.db.prepare_cached("SELECT state, events, bytes FROM totals ORDER BY state")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.map(|row| {
            let (state, events, bytes) = row?;
            Ok(Totals { state: State::from_number(state)?, events, bytes })
        })
        .collect()
    }

    /// When the oldest event was spooled that is not settled.
    pub fn oldest_pending(&self) -> Result<Option<Timestamp>, SpoolError> {
        let sql = "SELECT min(created_at) FROM (SELECT (SELECT created_at FROM events e
                   WHERE e.stream = s.stream AND state < 2 ORDER BY seq LIMIT 1) AS created_at FROM streams s)";
        let millis: Option<i64> = self.db.query_row(sql, [], |row| row.get(0))?;
        Ok(millis.map(Timestamp::from_millis))
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
                let sql = format!("{SELECT_SEALED} WHERE event_id = ?1");
                let row = db.prepare_cached(&sql)?.query_row([id.as_bytes()], sealed_row).optional()?;
                let Some(row) = row else { return Ok(None) };
                let (event, sealed) = row?;
                record::open(db, &inner.epochs, &inner.spool_id, &event, &sealed).map(Some)
            })
            .await
    }
}

fn event(db: &Connection, id: EventId) -> Result<Option<Event>, SpoolError> {
    let sql = format!("{SELECT} WHERE event_id = ?1");
    let row = db.prepare_cached(&sql)?.query_row([id.as_bytes()], event_row).optional()?;
    Ok(row.transpose()?)
}

const SELECT: &str = "SELECT seq, event_id, s.name, source_ref, state, attempt, failures, created_at, payload_sha256,
    payload_size, epoch, last_error FROM events e JOIN streams s USING (stream)";
pub(super) const SELECT_SEALED: &str = "SELECT seq, event_id, s.name, source_ref, state, attempt, failures, created_at,
    payload_sha256, payload_size, epoch, last_error, nonce, sealed FROM events e JOIN streams s USING (stream)";

/// Reads a row that may be damaged. A value that cannot be there reads as one that the seal does not cover, so that
/// the event is set aside like any other that was changed, and stands in nobody's way.
fn event_row(row: &Row<'_>) -> rusqlite::Result<Result<Event, StoreError>> {
    let text =
        |column| Ok::<_, rusqlite::Error>(String::from_utf8_lossy(row.get_ref(column)?.as_bytes()?).into_owned());
    let state = match State::from_number(row.get(4)?) {
        Ok(state) => state,
        Err(e) => return Ok(Err(e)),
    };
    Ok(Ok(Event {
        seq: row.get(0)?,
        event_id: EventId::from_bytes(row.get(1).unwrap_or_default()),
        stream_id: text(2)?,
        source_ref: text(3)?,
        state,
        attempt: row.get(5).unwrap_or(u32::MAX),
        failures: row.get(6).unwrap_or(u32::MAX),
        created_at: Timestamp::from_millis(row.get(7)?),
        payload_sha256: Digest::from_bytes(row.get(8).unwrap_or_default()),
        payload_size: row.get(9).unwrap_or(u64::MAX),
        epoch: row.get(10).unwrap_or(0),
        last_error: row.get(11).unwrap_or_default(),
    }))
}

pub(super) fn sealed_row(row: &Row<'_>) -> rusqlite::Result<Result<(Event, Sealed), StoreError>> {
    let sealed = Sealed { nonce: row.get(12)?, ciphertext: row.get(13)? };
    Ok(event_row(row)?.map(|event| (event, sealed)))
}
