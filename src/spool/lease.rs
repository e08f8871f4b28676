use std::fmt;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::destination::{self, Destination, Gate};
use super::open::Inner;
use super::recover::end_absurd_waits;
use super::settle::{self, Became, Settlement};
use super::{Event, Spool, SpoolError, State, aside, record, retention, row};
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
    /// What became of each settlement, in their order.
    pub became: Vec<Became>,
    /// Why nothing was leased, where a data key does not open or an operator has given the spool to another
    /// installation meanwhile. What came back is settled all the same.
    pub blocked: Option<SpoolError>,
}

impl Lease {
    fn empty(gate: Gate) -> Self {
        let (leased, damaged, became) = (Vec::new(), Vec::new(), Vec::new());
        Self { leased, damaged, gate, probes_failed: 0, next_ready_at: None, became, blocked: None }
    }
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
    /// Not to be dropped before it answers: what it leased stays in flight until the next [`recover`](Self::recover).
    pub async fn turn(&self, settled: Vec<(i64, Settlement)>, room: usize) -> Result<Lease, SpoolError> {
        let inner = self.inner.clone();
        let turned = self.writer.run(move |db| {
            let now = inner.clock.now();
            follow_clock(db, &inner, now)?;
            let became = settle_all(db, &inner, &settled, now)?;
            let lease = lease_or_nothing(db, &inner, room, now)?;
            tidy(db, &inner, settled.len(), lease.leased.is_empty(), now)?;
            Ok::<_, SpoolError>((Lease { became, ..lease }, now))
        });
        let (lease, now) = turned.await?;
        self.inner.turned_at.store(now.as_millis(), Ordering::Relaxed);
        Ok(lease)
    }
}

fn settle_all(
    db: &Connection,
    inner: &Inner,
    settled: &[(i64, Settlement)],
    now: Timestamp,
) -> Result<Vec<Became>, SpoolError> {
    let settle = |(seq, settlement): &(i64, Settlement)| settle::settle(db, inner, *seq, settlement, now);
    let became: Vec<Became> = settled.iter().map(settle).collect::<Result<_, _>>()?;
    if became.iter().any(|became| became.state == State::Receipted) {
        destination::receipted(db, now)?;
    }
    Ok(became)
}

/// Leases; where that fails for a reason that says nothing of what came back, all of it is undone and the reason kept.
fn lease_or_nothing(db: &Connection, inner: &Inner, room: usize, now: Timestamp) -> Result<Lease, SpoolError> {
    db.prepare_cached("SAVEPOINT lease")?.execute([])?;
    let lease = match lease(db, inner, room, now) {
        Err(error @ (SpoolError::Epoch(_) | SpoolError::OtherInstallation { .. })) => {
            db.prepare_cached("ROLLBACK TO lease")?.execute([])?;
            let gate = Destination::read(db)?.gate(now);
            Lease { blocked: Some(error), ..Lease::empty(gate) }
        }
        lease => lease?,
    };
    db.prepare_cached("RELEASE lease")?.execute([])?;
    Ok(lease)
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
    let mut lease = Lease { probes_failed, ..Lease::empty(gate) };
    // Damaged events take room too, so that a turn stays short however many there are.
    while lease.leased.len() + lease.damaged.len() < room {
        let Some(stream) = ready_stream(db, now)? else { break };
        match head(db, inner, stream, now)? {
            Some(Ok(leased)) => lease.leased.push(leased),
            Some(Err(damaged)) => lease.damaged.push(damaged),
            None => {}
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

/// Takes the head of a stream: its attempt is counted before anything is signed (I1). Gives the event itself where it
/// is damaged, and nothing where the stream was awake by mistake.
fn head(
    db: &Connection,
    inner: &Inner,
    stream: i64,
    now: Timestamp,
) -> Result<Option<Result<Leased, Event>>, SpoolError> {
    let sql = format!("{} WHERE e.stream = ?1 ORDER BY e.seq LIMIT 1", row::SELECT_PENDING_SEALED);
    let head = db.prepare_cached(&sql)?.query_row([stream], row::sealed_row).optional()?;
    let Some((mut event, sealed)) = head.filter(|(event, _)| event.state == State::Queued) else {
        db.prepare_cached("UPDATE streams SET ready_at = NULL WHERE stream = ?1")?.execute([stream])?;
        return Ok(None);
    };
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
            Ok(Some(Ok(Leased { event, payload })))
        }
        Err(SpoolError::Tampered { .. }) => {
            aside::set_aside(db, inner, &mut event, sealed.ciphertext.len(), now)?;
            event.state = State::Dead;
            Ok(Some(Err(event)))
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
