use std::fmt;

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::limits::Door;
use super::open::Inner;
use super::settle::{self, Settled};
use super::{ContentId, Event, Spool, SpoolError, State, record, stream};
use crate::facts::{Digest, EventId, Timestamp};

/// An event on its way into the spool.
#[derive(Clone)]
pub struct NewEvent {
    /// The stream it belongs to.
    pub stream_id: String,
    /// What the source calls it, once and for ever.
    pub source_ref: String,
    /// The canonical payload.
    pub payload: Zeroizing<Vec<u8>>,
    /// What makes it the same event as another.
    pub content: ContentId,
    /// Whether its reference may be in use in another stream, where the receiver would take both for one event.
    pub allow_ref_reuse: bool,
}

/// Shows the length of the payload and no byte of it.
impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("NewEvent");
        event.field("stream_id", &self.stream_id).field("source_ref", &self.source_ref);
        event.field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// Where an enqueued event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// Its name for ever.
    pub event_id: EventId,
    /// Its state; `None` where it was settled and has been purged since.
    pub state: Option<State>,
    /// The epoch that it was sealed under just now; `None` where it was there before.
    pub epoch: Option<u32>,
    /// Whether it was there before.
    pub known: bool,
}

impl Spool {
    /// Spools an event, durably when this returns. Idempotent on (stream_id, source_ref): the same content is the
    /// same event, other content is a conflict and overwrites nothing.
    pub async fn enqueue(&self, event: NewEvent) -> Result<Enqueued, SpoolError> {
        let inner = self.inner.clone();
        let _timer = self.metrics.enqueue.start_timer();
        self.writer.run(move |db| enqueue(db, &inner, &event, &mut Door::open(db, &inner)?)).await
    }

    /// Spools events in this order in one transaction. One that is refused, for its reference or for want of room, keeps
    /// no other back.
    pub async fn enqueue_all(&self, events: Vec<NewEvent>) -> Result<Vec<Result<Enqueued, SpoolError>>, SpoolError> {
        let inner = self.inner.clone();
        let _timer = self.metrics.enqueue.start_timer();
        self.writer
            .run(move |db| {
                let mut door = Door::open(db, &inner)?;
                let one = |event| match enqueue(db, &inner, event, &mut door) {
                    Err(refused) if refused.is_about_one_event() => Ok(Err(refused)),
                    done => done.map(Ok),
                };
                events.iter().map(one).collect()
            })
            .await
    }

    /// The event that holds a reference, with whether its content is `content`.
    pub async fn find(
        &self,
        stream_id: &str,
        source_ref: &str,
        content: ContentId,
    ) -> Result<Option<(Enqueued, bool)>, SpoolError> {
        let inner = self.inner.clone();
        let (stream_id, source_ref) = (stream_id.to_owned(), source_ref.to_owned());
        self.writer
            .run(move |db| {
                let found = inner.index.find(db, &stream_id, &source_ref)?;
                found.map(|t| Ok((known(db, t.event_id)?, t.holds(&content)))).transpose()
            })
            .await
    }

    /// The event that holds a reference, whatever its content is.
    pub async fn look_up(&self, stream_id: &str, source_ref: &str) -> Result<Option<Enqueued>, SpoolError> {
        let inner = self.inner.clone();
        let (stream_id, source_ref) = (stream_id.to_owned(), source_ref.to_owned());
        self.writer
            .run(move |db| {
                let found = inner.index.find(db, &stream_id, &source_ref)?;
                found.map(|t| known(db, t.event_id)).transpose()
            })
            .await
    }
}

pub(super) fn enqueue(db: &Connection, inner: &Inner, new: &NewEvent, door: &mut Door) -> Result<Enqueued, SpoolError> {
    if let Some(tombstone) = inner.index.find(db, &new.stream_id, &new.source_ref)? {
        if tombstone.holds(&new.content) {
            return known(db, tombstone.event_id);
        }
        return Err(SpoolError::Conflict { event_id: tombstone.event_id });
    }
    if !new.allow_ref_reuse
        && let Some(other) = inner.index.find_elsewhere(db, &new.source_ref)?
    {
        return Err(SpoolError::RefReuse { event_id: other.event_id });
    }
    // Behind the tombstones: what is here already is answered for, however full it is.
    door.pass()?;
    let now = inner.clock.now();
    let arrival =
        Arrival { event_id: EventId::new(now), created_at: now, state: State::Queued, attempt: 0, last_error: None };
    let epoch = insert(db, inner, new, &arrival)?;
    Ok(Enqueued { event_id: arrival.event_id, state: Some(State::Queued), epoch: Some(epoch), known: false })
}

/// What an imported event brings along and a new one is given.
pub(super) struct Arrival {
    pub(super) event_id: EventId,
    pub(super) created_at: Timestamp,
    pub(super) state: State,
    pub(super) attempt: u32,
    pub(super) last_error: Option<String>,
}

/// Seals and writes an event whose reference is free. Gives the epoch that it is sealed under.
pub(super) fn insert(db: &Connection, inner: &Inner, new: &NewEvent, arrival: &Arrival) -> Result<u32, SpoolError> {
    let epoch = inner.epochs.active(db)?;
    let event = Event {
        seq: 0, // given by the table
        event_id: arrival.event_id,
        stream_id: new.stream_id.clone(),
        source_ref: new.source_ref.clone(),
        state: arrival.state,
        attempt: arrival.attempt,
        failures: 0,
        created_at: arrival.created_at,
        payload_sha256: Digest::of(&new.payload),
        payload_size: new.payload.len() as u64,
        epoch: epoch.number,
        last_error: arrival.last_error.clone(),
    };
    let sealed = epoch.key.seal(record::aad(&inner.spool_id, &event).as_bytes(), &new.payload)?;
    let stream = stream::number(db, &new.stream_id)?;
    let seq = put(db, &event, stream)?;
    db.prepare_cached("INSERT INTO contents (seq, nonce, sealed) VALUES (?1, ?2, ?3)")?.execute(params![
        seq,
        sealed.nonce,
        sealed.ciphertext
    ])?;
    inner.index.set(db, &new.stream_id, &new.source_ref, &new.content, event.event_id)?;
    Inner::count(db, None, event.state, event.payload_size)?;
    if event.state.is_settled() {
        // What was settled elsewhere takes its place in the order all the same.
        settle::move_over(
            db,
            seq,
            &Settled {
                state: event.state,
                judged: 0,
                error: event.last_error.as_deref(),
                answer: None,
                at: event.created_at,
            },
        )?;
    } else {
        stream::wake(db, stream, seq, inner.clock.now())?;
    }
    Ok(event.epoch)
}

fn put(db: &Connection, event: &Event, stream: i64) -> Result<i64, SpoolError> {
    db.prepare_cached(
        "INSERT INTO events (event_id, stream, source_ref, state, attempt, failures, created_at, payload_sha256,
                             payload_size, epoch, last_error)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        event.event_id.as_bytes(),
        stream,
        event.source_ref,
        event.state as i64,
        event.attempt,
        event.created_at.as_millis(),
        event.payload_sha256.as_bytes(),
        event.payload_size,
        event.epoch,
        event.last_error
    ])?;
    Ok(db.last_insert_rowid())
}

fn known(db: &Connection, event_id: EventId) -> Result<Enqueued, SpoolError> {
    let sql = "SELECT state FROM events WHERE event_id = ?1 UNION ALL SELECT state FROM settled WHERE event_id = ?1";
    let state = db.prepare_cached(sql)?.query_row([event_id.as_bytes()], |row| row.get(0)).optional()?;
    let state = state.map(State::from_number).transpose()?;
    Ok(Enqueued { event_id, state, epoch: None, known: true })
}
