//! What the log says of a send that was settled, from info on. `docs/logs.md` lists it.

use tracing::Span;

use super::Outcome;
use super::delivery::Delivery;
use crate::spool::{Alarm, Gate, Leased, Park, Settlement, State};

/// The span of one send. Its request id never comes again: attempts are counted on the disk before anything is signed.
pub(super) fn span(leased: &Leased) -> Span {
    // At error, so that a warning within it names event and request whatever the level.
    tracing::error_span!("send", event = %leased.event.event_id, request = leased.event.request_id())
}

/// The span of all that the relay of an outbox does. That of the events has none.
pub(super) fn drain_span(delivery: &Delivery) -> Span {
    match delivery {
        Delivery::Envelope(_) => Span::none(),
        Delivery::Payload => tracing::error_span!("outbox"),
    }
}

/// What a settlement is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Delivered,
    Receipted,
    Refused,
    Revoked,
    /// What there is to say was said when it happened.
    Waits,
}

impl Told {
    pub(super) const fn of(settlement: &Settlement) -> Self {
        match settlement {
            Settlement::Receipted(answer) if answer.sent.is_none() => Self::Delivered,
            Settlement::Receipted(_) | Settlement::Ahead { state: State::Receipted, .. } => Self::Receipted,
            Settlement::Ahead { .. } | Settlement::Conflict(_) | Settlement::Judged { .. } => Self::Refused,
            Settlement::Unjudged { park: Park::Revoked, .. } => Self::Revoked,
            Settlement::Unjudged { .. } => Self::Waits,
        }
    }

    /// Says it, once it is on the disk.
    pub(super) fn say(self, outcome: &Outcome, installation_id: &str) {
        let state = outcome.state.name();
        let (error, status) = (outcome.error.as_deref(), outcome.status);
        match self {
            Self::Delivered => tracing::info!("delivered"),
            Self::Receipted => tracing::info!("receipted"),
            Self::Refused => tracing::info!(state, error, status, "refused"),
            Self::Revoked => tracing::error!(installation = installation_id, "the installation is revoked"),
            Self::Waits => {}
        }
    }
}

/// Says what nobody but the operator can put right.
pub(super) fn say_alarm(alarm: &Alarm) {
    tracing::error!(event = %alarm.event_id, alarm = alarm.what, "stopped until an operator has looked");
}

/// Says when an outage begins and ends. `was_parked`: as far as this relay knew.
pub(super) fn say_gate(gate: Gate, was_parked: bool) -> bool {
    match gate {
        Gate::Parked { until } if !was_parked => tracing::info!(%until, "parked"),
        Gate::Open if was_parked => tracing::info!("unparked"),
        _ => {}
    }
    match gate {
        Gate::Parked { .. } | Gate::Probe => true,
        Gate::Open => false,
        // Neither says anything of the outage.
        Gate::Paused | Gate::Revoked | Gate::Suspect => was_parked,
    }
}
