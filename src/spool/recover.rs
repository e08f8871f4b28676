use rusqlite::{Connection, params};

use super::{Spool, SpoolError, State};

/// No stream waits longer than an hour and its jitter. A clock that was set back would make it wait for years.
const LONGEST_WAIT_MS: i64 = 2 * 60 * 60 * 1000;

impl Spool {
    /// Takes back what an earlier relay had in flight when it ended, and waits that a clock set back has made
    /// absurd. For a process that has just taken the relay's role: nobody else has anything in flight then.
    /// Gives how many events came back.
    pub async fn recover(&self) -> Result<usize, SpoolError> {
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let now = inner.clock.now().as_millis();
                let (queued, relaying) = (State::Queued as i64, State::Relaying as i64);
                // In words that let SQLite use the index of what is in flight.
                let recovered = db.execute("UPDATE events SET state = ?1 WHERE state = 1", [queued])?;
                let sql = "UPDATE streams SET ready_at = ?1 WHERE ready_at IS NULL AND stopped_at IS NULL AND EXISTS (
                               SELECT 1 FROM events e WHERE e.stream = streams.stream)";
                db.execute(sql, [now])?;
                let sql = "UPDATE totals SET (events, bytes, contents) =
                               (SELECT a.events + b.events, a.bytes + b.bytes, a.contents + b.contents FROM totals a, totals b WHERE a.state = ?1 AND b.state = ?2) WHERE state = ?1";
                db.execute(sql, params![queued, relaying])?;
                db.execute("UPDATE totals SET events = 0, bytes = 0, contents = 0 WHERE state = ?1", [relaying])?;
                end_absurd_waits(db, now)?;
                Ok(recovered)
            })
            .await
    }
}

/// Ends waits that only a clock which has gone astray can have made.
pub(super) fn end_absurd_waits(db: &Connection, now: i64) -> Result<(), SpoolError> {
    let latest = now.saturating_add(LONGEST_WAIT_MS);
    let sql = "UPDATE streams SET ready_at = ?1 WHERE ready_at > ?2";
    db.prepare_cached(sql)?.execute(params![now, latest])?;
    let sql = "UPDATE destination SET probe_at = ?1 WHERE probe_at > ?2";
    db.prepare_cached(sql)?.execute(params![now, latest])?;
    Ok(())
}
