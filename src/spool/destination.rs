use rusqlite::{Connection, params};

use super::{Spool, SpoolError};
use crate::facts::Timestamp;

/// What the spool knows of the receiver. Survives restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Whom the spool relays for; set by the first relay.
    pub installation_id: Option<String>,
    /// Since when the operator holds the relay back.
    pub paused_at: Option<Timestamp>,
    /// Since when the receiver has revoked the installation.
    pub revoked_at: Option<Timestamp>,
    /// The outage that holds it back, where there is one.
    pub parked: Option<Parked>,
}

/// An outage: nothing is sent but one probe at growing intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Since when.
    pub since: Timestamp,
    /// What happened last, by name.
    pub reason: String,
    /// Probes that failed in a row.
    pub failures: u32,
    /// When the next probe may be sent.
    pub probe_at: Timestamp,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Anything.
    Open,
    /// Nothing, until the operator resumes.
    Paused,
    /// Nothing before this time, and then one probe.
    Parked {
        /// When.
        until: Timestamp,
    },
    /// One event, to see whether the outage is over.
    Probe,
    /// Nothing, until the operator names a new enrolment.
    Revoked,
}

impl Destination {
    /// What may be sent at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        if self.revoked_at.is_some() {
            return Gate::Revoked;
        }
        if self.paused_at.is_some() {
            return Gate::Paused;
        }
        match &self.parked {
            None => Gate::Open,
            Some(parked) if parked.probe_at <= now => Gate::Probe,
            Some(parked) => Gate::Parked { until: parked.probe_at },
        }
    }

    /// Refuses whoever relays for another installation than the spool.
    pub(super) fn check_bound(&self, asked: &str) -> Result<(), SpoolError> {
        match &self.installation_id {
            Some(bound) if bound != asked => {
                Err(SpoolError::OtherInstallation { bound: bound.clone(), asked: asked.to_owned() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn read(db: &Connection) -> Result<Self, SpoolError> {
        let mut statement = db.prepare_cached(
            "SELECT installation_id, paused_at, revoked_at, parked_at, park_reason, park_failures, probe_at
             FROM destination",
        )?;
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        Ok(statement.query_row([], |row| {
            let since = time(row.get(3)?);
            let probe_at = time(row.get(6)?);
            let parked = since.zip(probe_at).map(|(since, probe_at)| {
                let reason: Option<String> = row.get(4)?;
                Ok::<_, rusqlite::Error>(Parked {
                    since,
                    reason: reason.unwrap_or_default(),
                    failures: row.get(5)?,
                    probe_at,
                })
            });
            Ok(Self {
                installation_id: row.get(0)?,
                paused_at: time(row.get(1)?),
                revoked_at: time(row.get(2)?),
                parked: parked.transpose()?,
            })
        })?)
    }
}

impl Spool {
    /// What the spool knows of the receiver.
    pub async fn destination(&self) -> Result<Destination, SpoolError> {
        self.writer.run(Destination::read).await
    }

    /// Ties the spool to the installation it relays for. Another one is refused: it would sign this one's events.
    /// So is every later [`turn`](Self::turn), once the spool is another's.
    pub async fn bind(&self, installation_id: &str) -> Result<(), SpoolError> {
        let asked = installation_id.to_owned();
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let destination = Destination::read(db)?;
                match &destination.installation_id {
                    Some(_) => destination.check_bound(&asked)?,
                    None => set_installation(db, &asked)?,
                }
                *inner.bound() = Some(asked.clone());
                Ok(())
            })
            .await
    }

    /// Holds the relay back until [`resume`](Self::resume).
    pub async fn pause(&self) -> Result<(), SpoolError> {
        let now = self.inner.clock.now();
        self.writer
            .run(move |db| {
                let sql = "UPDATE destination SET paused_at = ?1 WHERE paused_at IS NULL";
                db.execute(sql, [now.as_millis()])?;
                Ok(())
            })
            .await
    }

    /// Ends a pause, and lets a parked destination be probed at once. `enrolled` names the new installation after a
    /// re-enrolment, the only way out of a revocation; without it a revoked destination stays revoked. An installation
    /// that was revoked once is no new enrolment, and the spool stays with the one it has. Gives what holds from then
    /// on.
    pub async fn resume(&self, enrolled: Option<String>) -> Result<Destination, SpoolError> {
        let now = self.inner.clock.now();
        self.writer
            .run(move |db| {
                if let Some(id) = &enrolled
                    && !was_revoked(db, id)?
                {
                    set_installation(db, id)?;
                    db.execute("UPDATE destination SET revoked_at = NULL", [])?;
                }
                let sql = "UPDATE destination SET paused_at = NULL, probe_at = min(probe_at, ?1)";
                db.execute(sql, [now.as_millis()])?;
                Destination::read(db)
            })
            .await
    }
}

fn set_installation(db: &Connection, id: &str) -> Result<(), SpoolError> {
    db.execute("UPDATE destination SET installation_id = ?1", [id])?;
    Ok(())
}

fn was_revoked(db: &Connection, id: &str) -> Result<bool, SpoolError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM revoked WHERE installation_id = ?1)";
    Ok(db.query_row(sql, [id], |row| row.get(0))?)
}

/// Notes that the receiver has revoked the installation.
pub(super) fn revoke(db: &Connection, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "INSERT OR IGNORE INTO revoked SELECT installation_id FROM destination WHERE installation_id NOTNULL";
    db.execute(sql, [])?;
    let sql = "UPDATE destination SET revoked_at = ?1 WHERE revoked_at IS NULL";
    db.execute(sql, [now.as_millis()])?;
    Ok(())
}

/// Notes an outage. What was in flight beside the event that showed it first does not count again.
pub(super) fn park(db: &Connection, reason: &str, probe_at: Timestamp, now: Timestamp) -> Result<(), SpoolError> {
    let parked = Destination::read(db)?.parked;
    if parked.is_none_or(|parked| parked.probe_at <= now) {
        db.prepare_cached(
            "UPDATE destination SET parked_at = coalesce(parked_at, ?1), park_reason = ?2,
                                    park_failures = park_failures + 1, probe_at = ?3",
        )?
        .execute(params![now.as_millis(), reason, probe_at.as_millis()])?;
    }
    Ok(())
}

/// Ends an outage, as only a probe does: what was in flight when the outage showed may still be answered, and what
/// the receiver asked for with `Retry-After` holds all the same.
pub(super) fn unpark(db: &Connection, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "UPDATE destination SET parked_at = NULL, park_reason = NULL, park_failures = 0, probe_at = NULL
               WHERE probe_at <= ?1";
    db.prepare_cached(sql)?.execute([now.as_millis()])?;
    Ok(())
}
