use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::witnessing::status;
use crate::audit::Audit;
use crate::cli::failure::Failure;
use crate::cli::metrics::Exporter;
use crate::cli::relay::{Change, Condition};
use crate::cli::status::Live;
use crate::cli::vault::Vault;
use crate::facts::{Clock, Timestamp};
use crate::relay::{KEY_AWAY, Outcome};
use crate::spool::Limits;
use crate::witness::Presence;

/// What the service knows of itself, and tells when it changes.
pub(super) struct Health {
    clock: Arc<dyn Clock>,
    audit: Arc<Audit>,
    exporter: Arc<Exporter>,
    started_at: Timestamp,
    /// Whether the start is over: everything is open, or known to be away.
    known: watch::Sender<bool>,
    /// The witness, where the service has one.
    witness: Option<watch::Receiver<Presence>>,
    /// Whether it relays, too.
    relays: bool,
    seen: Mutex<Seen>,
}

struct Seen {
    condition: Condition,
    degraded_at: Option<Timestamp>,
    custody_up: bool,
    last_error: Option<(String, Timestamp)>,
    reloaded_at: Option<Timestamp>,
    limits: Limits,
    /// Why nothing is witnessed.
    witness: Option<String>,
}

impl Health {
    pub(super) fn new(
        vault: &Vault,
        exporter: Arc<Exporter>,
        witness: Option<watch::Receiver<Presence>>,
        relays: bool,
    ) -> Result<Self, Failure> {
        let seen = Seen {
            condition: Condition::default(),
            degraded_at: None,
            custody_up: true,
            last_error: None,
            reloaded_at: None,
            limits: vault.settings.bounds.limits,
            witness: None,
        };
        Ok(Self {
            clock: vault.clock.clone(),
            audit: vault.audit()?,
            exporter,
            started_at: vault.clock.now(),
            known: watch::Sender::new(false),
            witness,
            relays,
            seen: Mutex::new(seen),
        })
    }

    /// Becomes true once the start is over.
    pub(super) fn known(&self) -> watch::Receiver<bool> {
        self.known.subscribe()
    }

    pub(super) fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// A send ended so.
    pub(super) fn settled(&self, outcome: &Outcome) {
        let (mut seen, now) = (self.seen(), self.clock.now());
        seen.custody_up = outcome.error.as_deref() != Some(KEY_AWAY);
        if let Some(error) = &outcome.error {
            seen.last_error = Some((error.clone(), now));
        }
        let change = seen.condition.saw(outcome, &self.exporter);
        self.tell(&mut seen, change.as_ref(), outcome.error.as_deref().unwrap_or_default());
    }

    /// Something that is needed is not there.
    pub(super) fn lacks(&self, failure: &Failure) {
        let mut seen = self.seen();
        seen.custody_up = !failure.is_away();
        seen.last_error = Some((failure.message().to_owned(), self.clock.now()));
        let change = seen.condition.lacks(failure, &self.exporter);
        let error = failure.custody().map_or_else(|| failure.message().to_owned(), |custody| custody.origin());
        self.tell(&mut seen, change.as_ref(), &error);
        self.known.send_replace(true);
    }

    /// Everything that is needed is there.
    pub(super) fn is_whole(&self) {
        let mut seen = self.seen();
        seen.custody_up = true;
        let change = seen.condition.is_whole(&self.exporter);
        self.tell(&mut seen, change.as_ref(), "");
        self.known.send_replace(true);
    }

    /// Something that the witness needs is not there, or everything is again.
    pub(super) fn witness_lacks(&self, failure: Option<&Failure>) {
        let mut seen = self.seen();
        let why = failure.map(|failure| failure.message().to_owned());
        match (&seen.witness, failure) {
            (None, Some(failure)) => {
                let error = failure.custody().map_or_else(|| failure.message().to_owned(), |custody| custody.origin());
                tracing::warn!(error, "the witness is degraded");
            }
            (Some(_), None) => tracing::warn!("the witness recovered"),
            _ => {}
        }
        seen.witness = why;
        if !self.relays {
            self.known.send_replace(true);
        }
    }

    /// The config file was read again.
    pub(super) fn reloaded(&self, limits: Limits) {
        let mut seen = self.seen();
        seen.reloaded_at = Some(self.clock.now());
        seen.limits = limits;
        self.exporter.limits_are(limits);
    }

    /// What there is to tell now.
    pub(super) fn live(&self) -> Live {
        let seen = self.seen();
        Live {
            started_at: self.started_at,
            is_starting: !*self.known.borrow(),
            degraded: seen.condition.degraded().map(str::to_owned).zip(seen.degraded_at),
            custody_up: seen.custody_up,
            audit_up: self.audit.failure().is_none(),
            last_error: seen.last_error.clone(),
            reloaded_at: seen.reloaded_at,
            limits: seen.limits,
            relays: self.relays,
            witness: self.witness.as_ref().map(|presence| status(&presence.borrow())),
            witness_lacks: seen.witness.clone(),
        }
    }

    /// Says a change once. `error` names no key.
    fn tell(&self, seen: &mut Seen, change: Option<&Change>, error: &str) {
        match change {
            Some(Change::Degraded(_)) => {
                seen.degraded_at = Some(self.clock.now());
                tracing::warn!(error, "degraded");
            }
            Some(Change::Recovered) => {
                seen.degraded_at = None;
                tracing::warn!("recovered");
            }
            None => {}
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
