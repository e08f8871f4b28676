use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use super::destination::{Destination, Gate};
use super::open::Inner;
use super::recover::end_absurd_waits;
use super::settle::{self, Settlement};
use super::{Event, Spool, SpoolError, State, reader, record, retention};
use crate::custody::Sealed;
use crate::facts::{EventId, Timestamp};

/// What one turn of the relay gave.
#[derive(Debug)]
pub struct Lease {
    /// Events to send, at most one a stream. Their attempts are on the disk already.
    pub leased: Vec<Leased>,
    /// Events whose records do not open. They were set aside as dead, and nothing of them is sent.
    pub damaged: Vec<Event>,
    /// What may be sent.
    pub gate: Gate,
    /// Probes of a parked destination that failed in a row.
    pub probes_failed: u32,
    /// When the next stream is ready, where one waits.
    pub next_ready_at: Option<Timestamp>,
    /// What nobody but the operator can put right.
    pub alarms: Vec<Alarm>,
}

/// Something that stops a stream or the whole relay until the operator has looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The event that showed it.
    pub event_id: EventId,
    /// What it is, in words without names.
    pub what: &'static str,
}

/// An event to send.
pub struct Leased {
    /// The event; its attempt is this send's.
    pub event: Event,
    /// The canonical payload.
    pub payload: Zeroizing<Vec<u8>>,
}

/// Shows the event and no byte of its payload.
impl fmt::Debug for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased").field("event", &self.event).finish_non_exhaustive()
    }
}

impl Spool {
    /// One turn of the relay, in one transaction: settles what came back, then leases up to `room` events, each the
    /// head of a stream with nothing in flight. For the one process that has the relay's role.
    ///
    /// Where a data key does not open, or an operator has given the spool to another installation meanwhile, nothing
    /// is leased and that is the error, but what came back is settled.
    /// Not to be dropped before it answers: what it leased stays in flight until the next [`recover`](Self::recover).
    pub async fn turn(&self, settled: Vec<(i64, Settlement)>, room: usize) -> Result<Lease, SpoolError> {
        let settled = Arc::new(settled);
        let (inner, came_back) = (self.inner.clone(), settled.clone());
        let turned = self.writer.run(move |db| {
            let now = inner.clock.now();
            follow_clock(db, &inner, now)?;
            let alarms = settle_all(db, &inner, &came_back, now)?;
            let lease = lease(db, &inner, room, now)?;
            tidy(db, &inner, came_back.len(), lease.leased.is_empty(), now)?;
            Ok((Lease { alarms, ..lease }, now))
        });
        match turned.await {
            Ok((lease, now)) => {
                self.inner.turned_at.store(now.as_millis(), Ordering::Relaxed);
                Ok(lease)
            }
            Err(error @ (SpoolError::Epoch(_) | SpoolError::OtherInstallation { .. })) => {
                let (inner, now) = (self.inner.clone(), self.inner.clock.now());
                self.writer.run(move |db| settle_all(db, &inner, &settled, now).map(drop)).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

fn settle_all(
    db: &Connection,
    inner: &Inner,
    settled: &[(i64, Settlement)],
    now: Timestamp,
) -> Result<Vec<Alarm>, SpoolError> {
    let settle = |(seq, settlement): &(i64, Settlement)| settle::settle(db, inner, *seq, settlement, now);
    settled.iter().filter_map(|settled| settle(settled).transpose()).collect()
}

/// Drops content that was kept long enough: as much as keeps up with what is settled, and some more where nothing else
/// is to do.
fn tidy(db: &Connection, inner: &Inner, settled: usize, is_idle: bool, now: Timestamp) -> Result<(), SpoolError> {
    retention::expire(db, inner.retention(), now, 16.max(4 * settled))?;
    if is_idle { retention::give_back(db) } else { Ok(()) }
}

/// Moves all waits along with a clock that was set back since the last turn, or they would last longer by as much. Those
/// that began between two turns, while it was years ahead, end.
fn follow_clock(db: &Connection, inner: &Inner, now: Timestamp) -> Result<(), SpoolError> {
    let back = inner.turned_at.load(Ordering::Relaxed) - now.as_millis();
    if back > 0 {
        db.execute("UPDATE streams SET ready_at = max(ready_at - ?1, 0) WHERE ready_at IS NOT NULL", [back])?;
        db.execute("UPDATE destination SET probe_at = max(probe_at - ?1, 0)", [back])?;
    }
    end_absurd_waits(db, now.as_millis())
}

fn lease(db: &Connection, inner: &Inner, room: usize, now: Timestamp) -> Result<Lease, SpoolError> {
    let destination = Destination::read(db)?;
    if let Some(bound) = inner.bound().as_deref() {
        destination.check_bound(bound)?;
    }
    let gate = destination.gate(now);
    let room = match gate {
        Gate::Open => room,
        // A probe goes alone: while anything is in flight, that is the probe.
        Gate::Probe if room > 0 && !in_flight(db)? => 1,
        _ => 0,
    };
    let probes_failed = destination.parked.map_or(0, |parked| parked.failures);
    let (leased, damaged, alarms) = (Vec::new(), Vec::new(), Vec::new());
    let mut lease = Lease { leased, damaged, gate, probes_failed, next_ready_at: None, alarms };
    // Damaged events take room too, so that a turn stays short however many there are.
    while lease.leased.len() + lease.damaged.len() < room {
        let Some(stream) = ready_stream(db, now)? else { break };
        match head(db, inner, stream, now)? {
            Ok(leased) => lease.leased.push(leased),
            Err(damaged) => lease.damaged.push(damaged),
        }
    }
    lease.next_ready_at = next_ready_at(db)?;
    Ok(lease)
}

/// The stream that has waited longest.
fn ready_stream(db: &Connection, now: Timestamp) -> Result<Option<i64>, SpoolError> {
    let sql = "SELECT stream, ready_at FROM streams WHERE ready_at IS NOT NULL ORDER BY ready_at LIMIT 1";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let ready_at: i64 = row.get(1)?;
    Ok(if ready_at <= now.as_millis() { Some(row.get(0)?) } else { None })
}

fn next_ready_at(db: &Connection) -> Result<Option<Timestamp>, SpoolError> {
    let sql = "SELECT min(ready_at) FROM streams WHERE ready_at IS NOT NULL";
    let at: Option<i64> = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}

fn in_flight(db: &Connection) -> Result<bool, SpoolError> {
    let sql = "SELECT events > 0 FROM totals WHERE state = ?1";
    Ok(db.prepare_cached(sql)?.query_row([State::Relaying as i64], |row| row.get(0))?)
}

/// Takes the head of a stream: its attempt is counted before anything is signed (I1).
fn head(db: &Connection, inner: &Inner, stream: i64, now: Timestamp) -> Result<Result<Leased, Event>, SpoolError> {
    let sql = format!("{} WHERE e.stream = ?1 ORDER BY e.seq LIMIT 1", reader::SELECT_PENDING_SEALED);
    let (mut event, sealed) = db.prepare_cached(&sql)?.query_row([stream], reader::sealed_row)??;
    match open(db, inner, &event, &sealed) {
        Ok((payload, attempt)) => {
            event.attempt = attempt;
            event.state = State::Relaying;
            db.prepare_cached("UPDATE events SET state = ?2, attempt = ?3 WHERE seq = ?1")?.execute(params![
                event.seq,
                event.state as i64,
                event.attempt
            ])?;
            db.prepare_cached("UPDATE streams SET ready_at = NULL WHERE stream = ?1")?.execute([stream])?;
            Inner::count(db, Some(State::Queued), State::Relaying, event.payload_size)?;
            Ok(Ok(Leased { event, payload }))
        }
        Err(SpoolError::Tampered { .. }) => {
            settle::set_aside(db, inner, &event, stream, sealed.ciphertext.len(), now)?;
            event.state = State::Dead;
            Ok(Err(event))
        }
        // The key is away, or the epoch is in doubt: nothing is leased, and nothing is lost.
        Err(e) => Err(e),
    }
}

/// The payload and the number of the next attempt. No event comes to the end of its attempts by being sent.
fn open(
    db: &Connection,
    inner: &Inner,
    event: &Event,
    sealed: &Sealed,
) -> Result<(Zeroizing<Vec<u8>>, u32), SpoolError> {
    let attempt = event.attempt.checked_add(1).ok_or(SpoolError::Tampered { event_id: event.event_id })?;
    Ok((record::open(db, &inner.epochs, &inner.spool_id, event, sealed)?, attempt))
}
