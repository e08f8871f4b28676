use rusqlite::{Connection, OptionalExtension, params};

use super::{Spool, SpoolError, State};
use crate::facts::Timestamp;

/// What the spool knows of the receiver. Survives restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Whom the spool relays for; set by the first relay.
    pub installation_id: Option<String>,
    /// Since when the operator holds the relay back.
    pub paused_at: Option<Timestamp>,
    /// Since when the installation is revoked, by the receiver or by the operator.
    pub revoked_at: Option<Timestamp>,
    /// The outage that holds it back, where there is one.
    pub parked: Option<Parked>,
    /// Since when the receiver is known to be ahead of this spool, and how that showed.
    pub suspect: Option<(Timestamp, String)>,
    /// Since when nothing new is taken, and why.
    pub maintenance: Option<(Timestamp, String)>,
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
    /// Nothing, until the operator has looked: the receiver had events before this spool first sent them.
    Suspect,
}

impl Destination {
    /// What may be sent at `now`.
    pub fn gate(&self, now: Timestamp) -> Gate {
        if self.revoked_at.is_some() {
            return Gate::Revoked;
        }
        if self.suspect.is_some() {
            return Gate::Suspect;
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
            "SELECT installation_id, paused_at, revoked_at, parked_at, park_reason, park_failures, probe_at,
                    suspect_at, suspect_reason, maintenance_at, maintenance_reason
             FROM destination",
        )?;
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let noted = |row: &rusqlite::Row<'_>, at: usize| {
            let reason: Option<String> = row.get(at + 1)?;
            Ok::<_, rusqlite::Error>(time(row.get(at)?).map(|since| (since, reason.unwrap_or_default())))
        };
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
                suspect: noted(row, 7)?,
                maintenance: noted(row, 9)?,
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
}

pub(super) fn set_installation(db: &Connection, id: &str) -> Result<(), SpoolError> {
    db.execute("UPDATE destination SET installation_id = ?1", [id])?;
    Ok(())
}

pub(super) fn was_revoked(db: &Connection, id: &str) -> Result<bool, SpoolError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM revoked WHERE installation_id = ?1)";
    Ok(db.query_row(sql, [id], |row| row.get(0))?)
}

/// Notes that the installation is revoked.
pub(super) fn revoke(db: &Connection, now: Timestamp) -> Result<(), SpoolError> {
    let sql = "INSERT OR IGNORE INTO revoked SELECT installation_id FROM destination WHERE installation_id NOTNULL";
    db.execute(sql, [])?;
    let sql = "UPDATE destination SET revoked_at = ?1 WHERE revoked_at IS NULL";
    db.execute(sql, [now.as_millis()])?;
    Ok(())
}

/// Notes that the receiver had an event before this spool first sent it; `state` is what it was settled as. False where
/// the operator knows already.
pub(super) fn suspect(db: &Connection, seq: i64, state: State, now: Timestamp) -> Result<bool, SpoolError> {
    let reason = match state {
        State::Receipted => "a receipt that is older than the first send",
        _ => "a conflict over an event that was never sent before",
    };
    let sql = "UPDATE destination SET suspect_at = ?1, suspect_reason = ?2
               WHERE suspect_at IS NULL AND accepted_seq < ?3";
    Ok(db.prepare_cached(sql)?.execute(params![now.as_millis(), reason, seq])? > 0)
}

/// Why nothing new is taken, where it is not.
pub(super) fn maintenance(db: &Connection) -> Result<Option<String>, SpoolError> {
    let sql = "SELECT maintenance_reason FROM destination WHERE maintenance_at IS NOT NULL";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?)
}

/// Notes when the newest receipt came.
pub(super) fn receipted(db: &Connection, now: Timestamp) -> Result<(), SpoolError> {
    db.prepare_cached("UPDATE destination SET receipted_at = ?1")?.execute([now.as_millis()])?;
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
