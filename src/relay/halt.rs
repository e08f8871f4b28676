use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::spool::Gate;

/// Whether nothing is signed any more: the installation is revoked, or the spool is suspect.
#[derive(Debug, Default)]
pub(super) struct Halt {
    /// As the spool's last turn showed.
    by_gate: AtomicBool,
    /// Revocations that came and are not settled yet.
    by_verdict: AtomicUsize,
}

impl Halt {
    pub(super) fn is_on(&self) -> bool {
        self.by_gate.load(Ordering::Relaxed) || self.by_verdict.load(Ordering::Relaxed) > 0
    }

    /// A revocation came.
    pub(super) fn revoked(&self) {
        self.by_verdict.fetch_add(1, Ordering::Relaxed);
    }

    /// A turn has settled so many revocations, and this is what may be sent.
    pub(super) fn turned(&self, revocations: usize, gate: Gate) {
        self.by_gate.store(matches!(gate, Gate::Revoked | Gate::Suspect), Ordering::Relaxed);
        self.by_verdict.fetch_sub(revocations, Ordering::Relaxed);
    }
}
