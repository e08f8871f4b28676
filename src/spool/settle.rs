use rusqlite::{Connection, OptionalExtension, params};

use super::open::Inner;
use super::{Alarm, Answer, SpoolError, State, claims, destination, stream};
use crate::facts::{EventId, Timestamp};

/// How a send ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// A matching receipt came, or what an outbox sent was taken.
    Receipted(Answer),
    /// The receiver holds other content; its answer is the evidence.
    Conflict(Answer),
    /// One of the two before, for the first send of an event that the receiver had before: it is ahead of this spool.
    Ahead {
        /// [`State::Receipted`] or [`State::Conflict`].
        state: State,
        /// The receiver's answer.
        answer: Answer,
    },
    /// The receiver judged against the event.
    Judged {
        /// What it said, by name.
        error: String,
        /// When it may be sent again; `None`: it was judged against too often and is dead.
        retry_at: Option<Timestamp>,
        /// The answer: of the last judgement, kept with a dead event, or one that carries a receipt all the same.
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

/// How an event is named that waits because two receipts for it differ.
pub const CONTRADICTION: &str = "receipt-contradicts-an-earlier-one";

/// What became of a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Became {
    /// Where the event is now.
    pub state: State,
    /// What the operator has to look at, where there is something.
    pub alarm: Option<Alarm>,
}

/// Settles the send of the event at `seq`, and makes its stream ready again. An event that is not in flight was
/// settled before, by a turn whose answer its caller did not see: nothing changes, unless the two receipts differ.
pub(super) fn settle(
    db: &Connection,
    inner: &Inner,
    seq: i64,
    settlement: &Settlement,
    now: Timestamp,
) -> Result<Became, SpoolError> {
    let Some(sent) = InFlight::read(db, seq)? else { return late(db, seq, settlement, now) };
    if let Some(answer) = settlement.answer()
        && claims::contradict(db, seq, &sent.source_ref, answer)?
    {
        claims::keep(db, seq, sent.stream, answer)?;
        requeue(db, &sent, CONTRADICTION, 0, now)?;
        stream::stop(db, sent.stream, CONTRADICTION, now)?;
        destination::unpark(db, now)?;
        return Ok(Became { state: State::Queued, alarm: Some(contradiction(sent.event_id)) });
    }
    let mut became = Became { state: State::Queued, alarm: None };
    match settlement {
        Settlement::Receipted(answer) => became.state = finish(db, &sent, &answered(State::Receipted, answer, now))?,
        Settlement::Conflict(answer) => became.state = finish(db, &sent, &answered(State::Conflict, answer, now))?,
        Settlement::Ahead { state, answer } => {
            became.state = finish(db, &sent, &answered(*state, answer, now))?;
            became.alarm = suspect(db, inner, &sent, *state, now)?;
        }
        Settlement::Judged { error, retry_at: None, answer } => {
            let answer = answer.as_ref();
            let dead = Settled { state: State::Dead, judged: 1, error: Some(error), answer, at: now };
            became.state = finish(db, &sent, &dead)?;
        }
        Settlement::Judged { error, retry_at: Some(at), answer } => {
            requeue(db, &sent, error, 1, *at)?;
            answer.iter().try_for_each(|answer| claims::keep(db, seq, sent.stream, answer))?;
        }
        Settlement::Unjudged { error, park } => {
            let at = if let Park::NotAsked(at) = park { *at } else { now };
            requeue(db, &sent, error, 0, at)?;
            match park {
                Park::Until(until) => destination::park(db, error, *until, now)?,
                Park::Revoked => destination::revoke(db, now)?,
                Park::NotAsked(_) => {}
            }
            return Ok(became);
        }
    }
    // Whatever the receiver said, it spoke.
    destination::unpark(db, now)?;
    Ok(became)
}

impl Settlement {
    const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Receipted(answer) | Self::Conflict(answer) | Self::Ahead { answer, .. } => Some(answer),
            Self::Judged { answer, .. } => answer.as_ref(),
            Self::Unjudged { .. } => None,
        }
    }
}

const fn contradiction(event_id: EventId) -> Alarm {
    Alarm { event_id, what: "two receipts for one event differ" }
}

/// The row of an event that is being sent.
struct InFlight {
    seq: i64,
    event_id: EventId,
    stream: i64,
    source_ref: String,
    size: u64,
}

impl InFlight {
    fn read(db: &Connection, seq: i64) -> Result<Option<Self>, SpoolError> {
        let sql = "SELECT event_id, stream, source_ref, payload_size FROM events WHERE seq = ?1 AND state = ?2";
        let mut statement = db.prepare_cached(sql)?;
        let found = statement.query_row(params![seq, State::Relaying as i64], |row| {
            Ok(Self {
                seq,
                event_id: EventId::from_bytes(row.get(0)?),
                stream: row.get(1)?,
                source_ref: row.get(2)?,
                size: row.get(3)?,
            })
        });
        Ok(found.optional()?)
    }
}

/// An answer to an event that is settled. Only a receipt that differs from the one that settled it means anything.
fn late(db: &Connection, seq: i64, settlement: &Settlement, now: Timestamp) -> Result<Became, SpoolError> {
    let mut became = Became { state: state_of(db, seq)?, alarm: None };
    let (Settlement::Receipted(answer) | Settlement::Ahead { state: State::Receipted, answer }) = settlement else {
        return Ok(became);
    };
    if let Some((stream, event_id)) = claims::contradicted(db, seq, answer)? {
        claims::keep(db, seq, stream, answer)?;
        stream::stop(db, stream, CONTRADICTION, now)?;
        became.alarm = Some(contradiction(event_id));
    }
    Ok(became)
}

fn state_of(db: &Connection, seq: i64) -> Result<State, SpoolError> {
    let mut statement = db.prepare_cached("SELECT state FROM settled WHERE seq = ?1")?;
    let found = statement.query_row([seq], |row| row.get(0)).optional()?;
    Ok(found.map(State::from_number).transpose()?.unwrap_or(State::Queued))
}

/// Notes that the receiver is ahead of this spool, unless something here explains it.
fn suspect(
    db: &Connection,
    inner: &Inner,
    sent: &InFlight,
    state: State,
    now: Timestamp,
) -> Result<Option<Alarm>, SpoolError> {
    // The receiver knows no streams: to it, the same reference in another one is one event with other content.
    let is_explained = state == State::Conflict && inner.index.is_reused(db, &sent.source_ref, sent.event_id)?;
    if is_explained || !destination::suspect(db, sent.seq, state, now)? {
        return Ok(None);
    }
    Ok(Some(Alarm { event_id: sent.event_id, what: "the receiver is ahead of this spool" }))
}

/// How an event was settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled<'a> {
    pub(super) state: State,
    /// Judgements that the last send added.
    pub(super) judged: i64,
    pub(super) error: Option<&'a str>,
    pub(super) answer: Option<&'a Answer>,
    pub(super) at: Timestamp,
}

fn answered(state: State, answer: &Answer, at: Timestamp) -> Settled<'_> {
    let error = (state == State::Conflict).then_some("conflict");
    Settled { state, judged: 0, error, answer: Some(answer), at }
}

fn finish(db: &Connection, sent: &InFlight, settled: &Settled<'_>) -> Result<State, SpoolError> {
    move_over(db, sent.seq, settled)?;
    Inner::count(db, Some(State::Relaying), settled.state, sent.size)?;
    stream::ready(db, sent.stream, settled.at)?;
    Ok(settled.state)
}

/// Moves an event out of the hot table. Its content stays where it is.
pub(super) fn move_over(db: &Connection, seq: i64, settled: &Settled<'_>) -> Result<(), SpoolError> {
    let Settled { state, judged, error, answer, at } = *settled;
    let sent = answer.and_then(|answer| answer.sent.as_ref());
    db.prepare_cached(
        "INSERT INTO settled
         SELECT seq, event_id, stream, source_ref, ?2, attempt, failures + ?3, created_at, payload_sha256,
                payload_size, epoch, ?4, ?5, EXISTS (SELECT 1 FROM contents c WHERE c.seq = ?1),
                ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
         FROM events WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        state as i64,
        judged,
        error,
        at.as_millis(),
        sent.map(|sent| &sent.installation_id),
        sent.map(|sent| sent.attempt),
        sent.map(|sent| sent.signed_at.as_millis()),
        sent.map(|sent| sent.signature.as_bytes()),
        sent.map(|sent| sent.public_key.to_bytes()),
        answer.map(|answer| answer.status),
        answer.map(|answer| &answer.body),
        answer.map(|answer| answer.received_at.as_millis())
    ])?;
    db.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Puts an event back: it may be sent again at `at`.
fn requeue(db: &Connection, sent: &InFlight, error: &str, judged: i64, at: Timestamp) -> Result<(), SpoolError> {
    db.prepare_cached("UPDATE events SET state = ?2, last_error = ?3, failures = failures + ?4 WHERE seq = ?1")?
        .execute(params![sent.seq, State::Queued as i64, error, judged])?;
    Inner::count(db, Some(State::Relaying), State::Queued, sent.size)?;
    stream::ready(db, sent.stream, at)
}
