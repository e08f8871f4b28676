//! How rows are read that may be damaged.

use rusqlite::Row;

use super::{Answer, Event, SignedEnvelope, SpoolError, State};
use crate::custody::Sealed;
use crate::facts::{Digest, EventId, Timestamp};
use crate::protocol::{PublicKey, Signature};

// The stream's row may be what is gone; a state that is none of the table's reads as one that is.
macro_rules! select {
    ($table:literal, $state:literal, $more:literal, $join:literal) => {
        concat!(
            "SELECT e.seq, event_id, s.name, source_ref, ",
            $state,
            ", attempt, failures, created_at, payload_sha256, ",
            "payload_size, epoch, last_error",
            $more,
            " FROM ",
            $table,
            " e LEFT JOIN streams s USING (stream)",
            $join
        )
    };
}

pub(super) const SELECT_PENDING: &str = select!("events", "iif(state = 1, 1, 0)", "", "");
pub(super) const SELECT_SETTLED: &str = select!("settled", "iif(state IN (2, 3), state, 4)", "", "");
/// An event whose content is gone has an empty one here, which does not open.
pub(super) const SELECT_PENDING_SEALED: &str = select!(
    "events",
    "iif(state = 1, 1, 0)",
    ", coalesce(nonce, x''), coalesce(sealed, x'')",
    " LEFT JOIN contents c ON c.seq = e.seq"
);

pub(super) const ANSWER: &str =
    "installation_id, sent_attempt, signed_at, signature, public_key, status, body, received_at";

/// Reads [`ANSWER`]. A key that is none is what somebody changed.
pub(super) fn answer_row(row: &Row<'_>, event_id: EventId) -> rusqlite::Result<Result<Answer, SpoolError>> {
    let sent = match row.get::<_, Option<Vec<u8>>>(4)? {
        None => None,
        Some(key) => {
            let Ok(public_key) = PublicKey::from_hex(&hex::encode(key)) else {
                return Ok(Err(SpoolError::Tampered { event_id }));
            };
            Some(SignedEnvelope {
                installation_id: row.get(0)?,
                attempt: row.get(1)?,
                signed_at: Timestamp::from_millis(row.get(2)?),
                signature: Signature::from_bytes(row.get(3)?),
                public_key,
            })
        }
    };
    let received_at = Timestamp::from_millis(row.get(7)?);
    Ok(Ok(Answer { sent, status: row.get(5)?, body: row.get(6)?, received_at }))
}

/// Reads a row that may be damaged. A value that cannot be there reads as one that the seal does not cover, so that
/// the event is set aside like any other that was changed, and stands in nobody's way.
pub(super) fn event_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    let text = |column| {
        let bytes = row.get_ref(column).ok().and_then(|value| value.as_bytes().ok().map(<[u8]>::to_vec));
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    Ok(Event {
        seq: row.get(0)?,
        event_id: EventId::from_bytes(row.get(1).unwrap_or_default()),
        stream_id: text(2),
        source_ref: text(3),
        state: row.get(4).ok().and_then(|number| State::from_number(number).ok()).unwrap_or(State::Dead),
        attempt: row.get(5).unwrap_or(u32::MAX),
        failures: row.get(6).unwrap_or(u32::MAX),
        created_at: Timestamp::from_millis(row.get(7).unwrap_or_default()),
        payload_sha256: Digest::from_bytes(row.get(8).unwrap_or_default()),
        payload_size: row.get(9).unwrap_or(u64::MAX),
        epoch: row.get(10).unwrap_or(0),
        last_error: row.get(11).unwrap_or_default(),
    })
}

pub(super) fn sealed_row(row: &Row<'_>) -> rusqlite::Result<(Event, Sealed)> {
    let sealed = Sealed { nonce: row.get(12).unwrap_or_default(), ciphertext: row.get(13).unwrap_or_default() };
    Ok((event_row(row)?, sealed))
}
