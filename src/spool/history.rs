//! When events were settled, and what of them is kept.

use rusqlite::{OptionalExtension, params};

use super::{Event, SpoolError, SpoolReader, State};
use crate::facts::Timestamp;

/// What is known of an event since it was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// When it was settled.
    pub settled_at: Timestamp,
    /// Whether its content is still there.
    pub has_content: bool,
}

impl SpoolReader {
    /// What is known of an event since it was settled; `None` where it is not.
    pub fn history(&self, event: &Event) -> Result<Option<History>, SpoolError> {
        let sql = "SELECT settled_at, has_content FROM settled WHERE seq = ?1";
        let found = self.db.prepare_cached(sql)?.query_row([event.seq], |row| {
            Ok(History { settled_at: Timestamp::from_millis(row.get(0)?), has_content: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    /// How many events in a settled state a [`purge`](super::SpoolControl::purge) would drop the content of. Counts
    /// them: it takes as long as there are many.
    pub fn purgeable(&self, state: State, before: Timestamp) -> Result<u64, SpoolError> {
        let sql = "SELECT count(*) FROM settled WHERE state = ?1 AND has_content = 1 AND settled_at < ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        Ok(statement.query_row(params![state as i64, before.as_millis()], |row| row.get(0))?)
    }
}
