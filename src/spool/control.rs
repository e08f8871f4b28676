use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::destination::{self, Destination};
use super::schema::SCHEMA;
use super::{SpoolError, State, retention, retry, stream};
use crate::facts::{Clock, EventId, Timestamp};
use crate::store::{self, Access, Writer};

/// What an operator does to a spool. It needs no key, so that it can be done while a device is away.
#[derive(Debug, Clone)]
pub struct SpoolControl {
    pub(super) path: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a purge dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Events whose content is gone; what was signed and answered about them stays.
    pub events: u64,
    /// The size of their canonical payloads, in bytes.
    pub bytes: u64,
}

/// Contents that one transaction drops.
const CHUNK: usize = 512;

impl SpoolControl {
    /// Takes a spool that is there in hand. Blocks on the disk.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, SpoolError> {
        let db = store::open(path, &SCHEMA, Access::Change)?;
        Ok(Self { path: path.to_owned(), writer: Arc::new(Writer::spawn(db, path)), clock })
    }

    /// Holds the relay back until [`resume`](Self::resume).
    pub async fn pause(&self) -> Result<(), SpoolError> {
        self.run(|db, now| {
            db.execute("UPDATE destination SET paused_at = ?1 WHERE paused_at IS NULL", [now.as_millis()])?;
            Ok(())
        })
        .await
    }

    /// Ends a pause, and lets a parked destination be probed at once. Gives what holds from then on.
    ///
    /// `enrolled` names the new installation after a re-enrolment, the only way out of a revocation; one that was revoked
    /// once is no new enrolment, and the spool stays with the one it has. `accept` says that the operator knows that the
    /// receiver is ahead of this spool: nothing that is spooled by now makes it suspect again. Where either is lacking,
    /// nothing is changed.
    pub async fn resume(&self, enrolled: Option<String>, accept: bool) -> Result<Destination, SpoolError> {
        self.run(move |db, now| {
            let before = Destination::read(db)?;
            let is_new = match &enrolled {
                Some(id) => !destination::was_revoked(db, id)?,
                None => false,
            };
            if (before.revoked_at.is_some() || enrolled.is_some()) && !is_new || before.suspect.is_some() && !accept {
                return Ok(before);
            }
            if let Some(id) = &enrolled {
                destination::set_installation(db, id)?;
            }
            let accepted = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events')";
            let sql = format!(
                "UPDATE destination SET revoked_at = NULL, paused_at = NULL, probe_at = min(probe_at, ?1),
                     accepted_seq = iif(suspect_at IS NULL, accepted_seq, {accepted}),
                     suspect_at = NULL, suspect_reason = NULL"
            );
            db.execute(&sql, [now.as_millis()])?;
            Destination::read(db)
        })
        .await
    }

    /// Stops the relay for good, as a revocation by the receiver does. A spool that has not been relayed yet belongs to
    /// `installation_id` from then on, where that is known, so that it is this one that is revoked.
    pub async fn revoke(&self, installation_id: Option<String>) -> Result<(), SpoolError> {
        self.run(move |db, now| {
            if let (None, Some(id)) = (Destination::read(db)?.installation_id, &installation_id) {
                destination::set_installation(db, id)?;
            }
            destination::revoke(db, now)
        })
        .await
    }

    /// From now on nothing new is taken, for this reason; with `None` it is again. What waits is sent all the same.
    pub async fn set_maintenance(&self, reason: Option<String>) -> Result<(), SpoolError> {
        self.run(move |db, now| {
            let since = reason.is_some().then_some(now.as_millis());
            let sql = "UPDATE destination SET maintenance_reason = ?2,
                           maintenance_at = iif(?1 IS NULL, NULL, coalesce(maintenance_at, ?1))";
            db.execute(sql, params![since, reason])?;
            Ok(())
        })
        .await
    }

    /// Sends a dead event again: its judgements are forgotten, its attempts go on counting, and it takes its old place
    /// in its stream, which is in front of whatever waits there.
    pub async fn retry(&self, id: EventId) -> Result<(), SpoolError> {
        self.run(move |db, now| retry::retry(db, id, now)).await
    }

    /// Lets a stopped stream go on: the receipts that contradicted each other count no longer. False where nothing
    /// had stopped it.
    pub async fn release(&self, stream_id: &str) -> Result<bool, SpoolError> {
        let stream_id = stream_id.to_owned();
        self.run(move |db, now| stream::release(db, &stream_id, now)).await
    }

    /// Drops the content of events in `state` that were settled before `before`, oldest first, a few hundred at a
    /// time, and hands the room back to the disk in the end. `tell` hears how far it is.
    pub async fn purge(
        &self,
        state: State,
        before: Timestamp,
        mut tell: impl FnMut(Purged),
    ) -> Result<Purged, SpoolError> {
        let mut purged = Purged::default();
        loop {
            let some = self.run(move |db, _| retention::drop_contents(db, state, before, CHUNK)).await?;
            purged.events += some.events;
            purged.bytes += some.bytes;
            tell(purged);
            if some.events == 0 {
                break;
            }
        }
        self.give_back().await?;
        Ok(purged)
    }

    async fn run<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection, Timestamp) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let clock = self.clock.clone();
        self.writer.run(move |db| work(db, clock.now())).await
    }
}
