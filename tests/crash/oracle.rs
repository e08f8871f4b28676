use std::collections::{HashMap, HashSet};

use local_vault::facts::EventId;
use local_vault::spool::{Event, Filter, Leased, Settlement, Spool, SpoolError, SpoolReader, State, Totals};
use rusqlite::Connection;

use super::place::{Offer, Place, answer, body};
use super::work::{Fact, History};

/// What is wrong with a spool, in words.
pub(crate) type Verdict = Result<(), String>;

/// Opens a spool after a crash and asks for all that it had answered for before `cut`. Then everything is offered again
/// and sent to its receipt.
pub(crate) async fn check(place: &Place, history: &History, cut: usize) -> Verdict {
    let spool = place.open().map_err(|e| format!("it does not open: {e}"))?;
    let facts: Vec<&Fact> = history.facts.iter().filter(|(at, _)| *at <= cut).map(|(_, fact)| fact).collect();
    let reader = place.reader().map_err(told)?;
    let events = list(&reader).map_err(told)?;
    whole(place)?;
    add_up(&reader, &events)?;
    in_order(history, &events)?;
    facts.iter().try_for_each(|fact| holds(fact, &reader, &events, history))?;
    for event in &events {
        match spool.payload(event.event_id).await {
            Ok(Some(payload)) => is_offered(&history.offers, event, &payload)?,
            // Content that was kept long enough is gone.
            Err(SpoolError::Purged { .. }) if event.state == State::Receipted => {}
            other => return Err(format!("{} does not open: {:?}", event.source_ref, other.map(drop))),
        }
    }
    goes_on(place, &spool, history, &facts).await
}

fn told(error: SpoolError) -> String {
    format!("{error:?}")
}

pub(crate) fn list(reader: &SpoolReader) -> Result<Vec<Event>, SpoolError> {
    reader.list(&Filter { limit: usize::MAX, ..Filter::default() })
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// SQLite finds nothing wrong.
fn whole(place: &Place) -> Verdict {
    let db = Connection::open(place.path()).map_err(|e| e.to_string())?;
    let found: String =
        db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(|e| format!("integrity_check: {e}"))?;
    require(found == "ok", || found)?;
    let strays = db.prepare("PRAGMA foreign_key_check").and_then(|mut statement| statement.exists([]));
    require(strays == Ok(false), || format!("foreign_key_check: {strays:?}"))
}

/// The totals are what counting gives.
fn add_up(reader: &SpoolReader, events: &[Event]) -> Verdict {
    for Totals { state, events: count, bytes, .. } in reader.totals().map_err(told)? {
        let here: Vec<_> = events.iter().filter(|event| event.state == state).collect();
        let counted = (here.len() as u64, here.iter().map(|event| event.payload_size).sum());
        require((count, bytes) == counted, || format!("{}: {count}, {bytes} and not {counted:?}", state.name()))?;
    }
    Ok(())
}

/// Each stream holds the first of what was offered to it, in the order of the offers: no gap, and nothing else. What the
/// spool failed to take, and said so, may be there or not.
fn in_order(history: &History, events: &[Event]) -> Verdict {
    let streams: HashSet<&str> = events.iter().map(|event| event.stream_id.as_str()).collect();
    for stream in streams {
        let stored: Vec<_> = events.iter().filter(|e| e.stream_id == stream).map(|e| e.source_ref.as_str()).collect();
        let offers = history.offers.iter().enumerate().filter(|(_, offer)| offer.stream == stream);
        let may_be_there = |number: &usize, name: &str| !history.failed.contains(number) || stored.contains(&name);
        let offered = offers.map(|(number, offer)| (number, offer.source_ref.as_str()));
        let offered = offered.filter(|(number, name)| may_be_there(number, name)).map(|(_, name)| name);
        let offered: Vec<_> = offered.take(stored.len()).collect();
        require(stored == offered, || format!("stream {stream} holds {stored:?} and not {offered:?}"))?;
    }
    Ok(())
}

/// An event and its payload are what was once offered.
pub(crate) fn is_offered(offers: &[Offer], event: &Event, payload: &[u8]) -> Verdict {
    let offer = offers.iter().find(|offer| offer.source_ref == event.source_ref);
    let is_same = offer.is_some_and(|o| o.stream == event.stream_id && o.payload.as_bytes() == payload);
    require(is_same, || format!("{} has the payload of another", event.source_ref))
}

fn holds(fact: &Fact, reader: &SpoolReader, events: &[Event], history: &History) -> Verdict {
    let find = |id: &EventId| events.iter().find(|event| event.event_id == *id);
    let lost = || format!("lost: {fact:?}");
    match fact {
        Fact::Rotated(epochs) => require(reader.epochs().map_err(told)?.0 >= *epochs, lost),
        Fact::Spooled(offer, id) => {
            let (event, offer) = (find(id).ok_or_else(lost)?, &history.offers[*offer]);
            require((&event.stream_id, &event.source_ref) == (&offer.stream, &offer.source_ref), lost)
        }
        Fact::Leased(id, attempt) => require(find(id).ok_or_else(lost)?.attempt >= *attempt, lost),
        // Another send may have come to another end.
        Fact::Judged(id, _) | Fact::Settled(id, State::Dead) if history.retried.contains(id) => {
            require(find(id).is_some(), lost)
        }
        Fact::Judged(id, failures) => require(find(id).ok_or_else(lost)?.failures >= *failures, lost),
        Fact::Settled(id, state) => {
            let event = find(id).ok_or_else(lost)?;
            let answer = reader.answer(event).map_err(told)?.ok_or_else(lost)?;
            require(event.state == *state && answer.body == body(event), lost)
        }
    }
}

/// The source offers all of it again, as it does where it was not answered; then a relay sends what is left.
async fn goes_on(place: &Place, spool: &Spool, history: &History, facts: &[&Fact]) -> Verdict {
    let acknowledged: HashMap<usize, EventId> = facts
        .iter()
        .filter_map(|fact| if let Fact::Spooled(offer, id) = fact { Some((*offer, *id)) } else { None })
        .collect();
    let again = history.offers.iter().map(Offer::event).collect();
    for (number, enqueued) in spool.enqueue_all(again).await.map_err(told)?.into_iter().enumerate() {
        let enqueued = enqueued.map_err(told)?;
        let same = acknowledged.get(&number).is_none_or(|id| enqueued.known && enqueued.event_id == *id);
        require(same, || format!("the offer {number} is another event than it was"))?;
    }
    let mut attempts = HashMap::new();
    for fact in facts {
        if let Fact::Leased(id, attempt) = fact {
            attempts.insert(*id, *attempt);
        }
    }
    spool.recover().await.map_err(told)?;
    let sent = drain(place, spool, 2 * history.offers.len() + 8).await?;
    for Leased { event, payload } in &sent {
        is_offered(&history.offers, event, payload)?;
        let before = attempts.get(&event.event_id).copied().unwrap_or(0);
        require(event.attempt > before, || format!("{} is sent again as attempt {before}", event.source_ref))?;
    }
    let events = list(&place.reader().map_err(told)?).map_err(told)?;
    let left = events.iter().find(|event| matches!(event.state, State::Queued | State::Relaying));
    require(left.is_none() && events.len() == history.offers.len(), || format!("never sent: {left:?}"))
}

/// Sends all there is to its receipt. Gives it in the order in which it was given out, which is each stream's.
pub(crate) async fn drain(place: &Place, spool: &Spool, most_turns: usize) -> Result<Vec<Leased>, String> {
    let (mut sent, mut settled, mut last) = (Vec::new(), Vec::new(), HashMap::new());
    for _ in 0..most_turns {
        place.clock.advance(1000);
        let lease = spool.turn(std::mem::take(&mut settled), 8).await.map_err(told)?;
        settled.extend(lease.leased.iter().map(|l| (l.event.seq, Settlement::Receipted(answer(&l.event)))));
        if lease.leased.is_empty() && lease.damaged.is_empty() {
            return Ok(sent);
        }
        for leased in lease.leased {
            let (stream, seq) = (leased.event.stream_id.clone(), leased.event.seq);
            let before = last.insert(stream, seq);
            require(before < Some(seq), || format!("{seq} was sent behind {before:?}"))?;
            sent.push(leased);
        }
    }
    Err(format!("no end after {most_turns} turns"))
}
