use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::Sha256;

use super::{ContentId, SpoolError};
use crate::facts::{EventId, Framed, LockedKey};

/// The key of the tombstones: it keeps a stolen disk from telling which references there once were.
#[derive(Debug)]
pub(super) struct IndexKey(pub(super) LockedKey);

/// What remains of a (stream, source_ref) for ever.
pub(super) struct Tombstone {
    pub(super) content: [u8; 32],
    pub(super) event_id: EventId,
}

impl Tombstone {
    pub(super) fn holds(&self, content: &ContentId) -> bool {
        self.content == *content.as_bytes()
    }
}

impl IndexKey {
    /// The tombstone of a pair, where there is one.
    pub(super) fn find(
        &self,
        db: &Connection,
        stream_id: &str,
        source_ref: &str,
    ) -> Result<Option<Tombstone>, SpoolError> {
        let mut statement =
            db.prepare_cached("SELECT content, event_id FROM tombstones WHERE ref_tag = ?1 AND stream_tag = ?2")?;
        let found = statement.query_row(params![self.ref_tag(source_ref), self.stream_tag(stream_id)], read);
        Ok(found.optional()?)
    }

    /// The tombstone of the reference in any stream.
    pub(super) fn find_elsewhere(&self, db: &Connection, source_ref: &str) -> Result<Option<Tombstone>, SpoolError> {
        let mut statement = db.prepare_cached("SELECT content, event_id FROM tombstones WHERE ref_tag = ?1 LIMIT 1")?;
        Ok(statement.query_row([self.ref_tag(source_ref)], read).optional()?)
    }

    /// Whether the reference is in use by another event than this one.
    pub(super) fn is_reused(&self, db: &Connection, source_ref: &str, by: EventId) -> Result<bool, SpoolError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM tombstones WHERE ref_tag = ?1 AND event_id <> ?2)";
        let mut statement = db.prepare_cached(sql)?;
        Ok(statement.query_row(params![self.ref_tag(source_ref), by.as_bytes()], |row| row.get(0))?)
    }

    /// Sets the tombstone of a pair that has none.
    pub(super) fn set(
        &self,
        db: &Connection,
        stream_id: &str,
        source_ref: &str,
        content: &ContentId,
        event_id: EventId,
    ) -> Result<(), SpoolError> {
        db.prepare_cached("INSERT INTO tombstones (ref_tag, stream_tag, content, event_id) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
            self.ref_tag(source_ref),
            self.stream_tag(stream_id),
            content.as_bytes(),
            event_id.as_bytes()
        ])?;
        Ok(())
    }

    fn ref_tag(&self, source_ref: &str) -> [u8; 16] {
        self.tag("ref", source_ref)
    }

    fn stream_tag(&self, stream_id: &str) -> [u8; 16] {
        self.tag("stream", stream_id)
    }

    /// 128 bits of HMAC-SHA256: two of 2^32 references meet with a chance of 2^-64.
    fn tag(&self, kind: &str, text: &str) -> [u8; 16] {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("a key of 32 bytes");
        mac.update(Framed::new(kind).bytes(text.as_bytes()).as_bytes());
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        tag
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Tombstone> {
    let event_id: [u8; 16] = row.get(1)?;
    Ok(Tombstone { content: row.get(0)?, event_id: EventId::from_bytes(event_id) })
}
