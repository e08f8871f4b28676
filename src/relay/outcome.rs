use tracing::Span;

use super::log::Told;
use super::metrics::Cause;
use crate::audit;
use crate::facts::EventId;
use crate::spool::{CONTRADICTION, Settlement, State};

/// How one send ended, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The event.
    pub event_id: EventId,
    /// Its stream.
    pub stream_id: String,
    /// What the source calls it.
    pub source_ref: String,
    /// Which send this was.
    pub attempt: u32,
    /// Where the event is now.
    pub state: State,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// Why it was not delivered, by name.
    pub error: Option<String>,
    /// Whether the receiver has revoked the installation.
    pub revoked: bool,
}

impl Outcome {
    /// Whether a matching receipt came.
    pub fn is_sent(&self) -> bool {
        self.state == State::Receipted
    }
}

/// A send that ended, not yet settled in the spool.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) seq: i64,
    pub(super) settlement: Settlement,
    pub(super) sent: Sent,
}

/// What is told of a send once it is settled.
#[derive(Debug)]
pub(super) struct Sent {
    /// What names it in the log.
    pub(super) request: String,
    pub(super) outcome: Outcome,
    pub(super) told: Told,
    /// What belongs to it in the log.
    pub(super) span: Span,
    /// Why it is to be sent again, where it is.
    pub(super) cause: Option<Cause>,
    /// What is to be written down of it.
    pub(super) note: audit::Event,
}

impl Sent {
    /// The same, where the spool may have settled it otherwise than was asked for: a receipt that contradicts another
    /// one settles nothing, and an event that was settled before stays as it is.
    pub(super) fn settled_as(self, state: State) -> Self {
        if state == self.outcome.state {
            return self;
        }
        let error = if state == State::Queued { CONTRADICTION } else { SETTLED_BEFORE };
        let note = audit::Event::refused(&self.request, state.name(), error, self.outcome.status);
        let outcome = Outcome { state, error: Some(error.to_owned()), ..self.outcome };
        Self { outcome, told: Told::Refused, note, ..self }
    }
}

/// How a send is named whose event was settled by an earlier answer.
const SETTLED_BEFORE: &str = "settled-before";
