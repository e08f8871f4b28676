//! A spool of what a witness signed for the items of a feed. It keeps how far the feed was read, in the transaction that
//! spools what was made of it, so that after a crash no item is left out.

use rusqlite::Connection;

use super::enqueue::enqueue;
use super::limits::Door;
use super::{NewEvent, Spool, SpoolError};

impl Spool {
    /// Takes this spool for an outbox, for ever. One in which anything else was spooled is refused.
    pub async fn make_outbox(&self) -> Result<(), SpoolError> {
        self.writer
            .run(|db| {
                if position(db)?.is_some() {
                    return Ok(());
                }
                let sql = "SELECT EXISTS (SELECT 1 FROM tombstones) OR EXISTS (SELECT 1 FROM settled)
                           OR EXISTS (SELECT 1 FROM events)";
                if db.query_row(sql, [], |row| row.get(0))? {
                    return Err(SpoolError::OtherUse { is_outbox: false });
                }
                db.execute("UPDATE spool SET feed_position = 0", [])?;
                Ok(())
            })
            .await
    }

    /// Up to which number the feed of an outbox was read; `None` for a spool that is none.
    pub async fn feed_position(&self) -> Result<Option<i64>, SpoolError> {
        self.writer.run(position).await
    }

    /// Spools what came of the feed up to `position`, all of it or nothing, and keeps the position, which never goes
    /// back. What is spooled under one of the references already stays: signed again, the same item may read otherwise.
    pub async fn read_up_to(&self, position: i64, events: Vec<NewEvent>) -> Result<(), SpoolError> {
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let mut door = Door::open(db, &inner)?;
                for event in &events {
                    match enqueue(db, &inner, event, &mut door) {
                        Err(SpoolError::Conflict { .. }) => {}
                        done => drop(done?),
                    }
                }
                let sql = "UPDATE spool SET feed_position = max(feed_position, ?1) WHERE feed_position NOTNULL";
                if db.prepare_cached(sql)?.execute([position])? == 0 {
                    return Err(SpoolError::OtherUse { is_outbox: false });
                }
                Ok(())
            })
            .await
    }
}

/// Up to where the feed was read.
pub(super) fn position(db: &Connection) -> Result<Option<i64>, SpoolError> {
    let mut statement = db.prepare_cached("SELECT feed_position FROM spool")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}
