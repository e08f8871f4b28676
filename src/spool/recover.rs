use rusqlite::params;

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
                // What is in flight is the head of its stream: no need to look through the backlog.
                let sql = "UPDATE events SET state = ?1 WHERE state = ?2 AND seq IN (
                               SELECT (SELECT seq FROM events e WHERE e.stream = s.stream AND state < 2
                                       ORDER BY seq LIMIT 1)
                               FROM streams s WHERE ready_at IS NULL)";
                let recovered = db.execute(sql, params![queued, relaying])?;
                let sql = "UPDATE streams SET ready_at = ?1 WHERE ready_at IS NULL AND EXISTS (
                               SELECT 1 FROM events e WHERE e.stream = streams.stream AND state < 2)";
                db.execute(sql, [now])?;
                let sql = "UPDATE totals SET (events, bytes) = (SELECT a.events + b.events, a.bytes + b.bytes
                           FROM totals a, totals b WHERE a.state = ?1 AND b.state = ?2) WHERE state = ?1";
                db.execute(sql, params![queued, relaying])?;
                db.execute("UPDATE totals SET events = 0, bytes = 0 WHERE state = ?1", [relaying])?;
                let latest = now.saturating_add(LONGEST_WAIT_MS);
                db.execute("UPDATE streams SET ready_at = ?1 WHERE ready_at > ?2", params![now, latest])?;
                db.execute("UPDATE destination SET probe_at = ?1 WHERE probe_at > ?2", params![now, latest])?;
                Ok(recovered)
            })
            .await
    }
}
