//! Receipts that settled nothing: what a receiver has once said of an event, it cannot say otherwise.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Answer, SpoolError, State};
use crate::facts::EventId;
use crate::protocol::ack::{self, Acknowledgement};
use crate::protocol::json;

/// Keeps an answer to the event at `seq` in a stream.
pub(super) fn keep(db: &Connection, seq: i64, stream: i64, answer: &Answer) -> Result<(), SpoolError> {
    // What went without an envelope has no receipt.
    let Some(sent) = &answer.sent else { return Ok(()) };
    db.prepare_cached(
        "INSERT INTO claims (seq, stream, is_open, installation_id, sent_attempt, signed_at, signature, public_key, status,
                             body, received_at)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        seq,
        stream,
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

/// Whether an answer's receipt differs from one that came for the same event before.
pub(super) fn contradict(db: &Connection, seq: i64, source_ref: &str, answer: &Answer) -> Result<bool, SpoolError> {
    let Some(sent) = &answer.sent else { return Ok(false) };
    let mut statement = db.prepare_cached("SELECT installation_id, body FROM claims WHERE seq = ?1 AND is_open = 1")?;
    let mut rows = statement.query([seq])?;
    let mut receipt = None;
    while let Some(row) = rows.next()? {
        let (installation_id, body): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if installation_id != sent.installation_id {
            continue; // before a re-enrolment
        }
        let Some(claimed) = of(&installation_id, source_ref, &body) else { continue };
        if *receipt.get_or_insert_with(|| of(&installation_id, source_ref, &answer.body)) != Some(claimed) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The stream and the id of a receipted event, where an answer carries another receipt than the one that settled it.
pub(super) fn contradicted(db: &Connection, seq: i64, answer: &Answer) -> Result<Option<(i64, EventId)>, SpoolError> {
    let Some(sent) = &answer.sent else { return Ok(None) };
    let sql = "SELECT stream, event_id, source_ref, installation_id, body FROM settled
               WHERE seq = ?1 AND state = ?2 AND body IS NOT NULL";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_row(params![seq, State::Receipted as i64], |row| {
        let kept: (String, String, Vec<u8>) = (row.get(2)?, row.get(3)?, row.get(4)?);
        Ok((row.get(0)?, EventId::from_bytes(row.get(1)?), kept))
    });
    let Some((stream, event_id, (source_ref, installation_id, body))) = found.optional()? else { return Ok(None) };
    let differs = installation_id == sent.installation_id
        && of(&installation_id, &source_ref, &body) != of(&installation_id, &source_ref, &answer.body);
    Ok(differs.then_some((stream, event_id)))
}

fn of(installation_id: &str, source_ref: &str, body: &[u8]) -> Option<Acknowledgement> {
    ack::receipt_for(installation_id, source_ref, &json::parse(body).ok()?)
}
