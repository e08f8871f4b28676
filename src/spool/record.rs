use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{Event, SpoolError};
use crate::custody::{ErrorKind, Sealed};
use crate::epochs::{EpochError, Epochs};
use crate::facts::{Digest, Framed};

/// What an event's ciphertext is bound to: the table, the spool, and every field of the row that does not change.
/// A record that was moved to another row, or whose row was edited, does not open.
pub(super) fn aad(spool_id: &str, event: &Event) -> Framed {
    Framed::new("local-vault.spool.event.v1")
        .bytes(spool_id.as_bytes())
        .bytes(event.event_id.as_bytes())
        .bytes(event.stream_id.as_bytes())
        .bytes(event.source_ref.as_bytes())
        .bytes(event.payload_sha256.as_bytes())
        .number(event.payload_size)
        .number(event.created_at.as_millis().unsigned_abs())
        .number(event.epoch.into())
}

/// Opens an event's canonical payload. A record that does not open is [`SpoolError::Tampered`]; a key that is away
/// is not.
pub(super) fn open(
    db: &Connection,
    epochs: &Epochs,
    spool_id: &str,
    event: &Event,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, SpoolError> {
    let tampered = || SpoolError::Tampered { event_id: event.event_id };
    let key = epochs.open(db, event.epoch).map_err(|e| match e {
        // No event was ever sealed under an epoch that is not there.
        EpochError::Missing { .. } => tampered(),
        e => e.into(),
    })?;
    let opened = key.open(aad(spool_id, event).as_bytes(), sealed);
    let payload = opened.map_err(|e| if e.kind == ErrorKind::Broken { tampered() } else { e.into() })?;
    // The seal covers the hash; this says that it was the right one when it was sealed.
    if Digest::of(&payload) == event.payload_sha256 { Ok(payload) } else { Err(tampered()) }
}
