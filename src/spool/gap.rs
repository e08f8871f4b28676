//! A signed record in the place of an event whose own was damaged.

use rusqlite::{Connection, params};

use super::open::Inner;
use super::{Event, PAYLOAD_DRIFT, SpoolError};
use crate::facts::Timestamp;
use crate::protocol::gap::GapRecord;

/// Signs and stores what is known of a damaged event, once and for ever. Where the key does not sign, the event stays where it is.
pub(super) fn put(db: &Connection, inner: &Inner, event: &Event, now: Timestamp) -> Result<(), SpoolError> {
    let record = GapRecord {
        spool_id: inner.spool_id.clone(),
        seq: event.seq,
        event_id: event.event_id.to_string(),
        stream_id: event.stream_id.clone(),
        source_ref: event.source_ref.clone(),
        payload_sha256: event.payload_sha256,
        attempt: event.attempt,
        reason: PAYLOAD_DRIFT.to_owned(),
        found_at: now,
        alg: inner.record.public_key().algorithm(),
        kid: inner.record.kid().to_owned(),
    };
    let preimage = record.preimage();
    let signature = inner.record.sign(&preimage)?;
    db.prepare_cached("INSERT INTO gaps (seq, record, signature) VALUES (?1, ?2, ?3)")?.execute(params![
        event.seq,
        preimage.canonical(),
        signature.as_bytes()
    ])?;
    Ok(())
}
