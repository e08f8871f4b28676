use crate::cli::failure::Failure;
use crate::cli::metrics::Exporter;
use crate::relay::{KEY_AWAY, Outcome, UNRECORDED};

/// Whether a relay that goes on can sign. It stays up while it cannot, and tells of it once.
#[derive(Debug, Default)]
pub(in crate::cli) struct Condition {
    degraded: Option<String>,
}

/// What is new of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Change {
    /// Nothing is signed any more, and why.
    Degraded(String),
    /// Events are signed again.
    Recovered,
}

impl Condition {
    /// Why nothing is signed, where that is so.
    pub(in crate::cli) fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }

    /// Takes in how a send ended.
    pub(in crate::cli) fn saw(&mut self, outcome: &Outcome, exporter: &Exporter) -> Option<Change> {
        let error = outcome.error.as_deref();
        exporter.custody_is(error != Some(KEY_AWAY));
        self.is(match error {
            Some(KEY_AWAY) => Some("the signing key is away".into()),
            Some(UNRECORDED) => Some("the audit log takes no entry".into()),
            _ => None,
        })
    }

    /// Takes in that something that is needed was not there.
    pub(in crate::cli) fn lacks(&mut self, failure: &Failure, exporter: &Exporter) -> Option<Change> {
        if failure.is_away() {
            exporter.custody_is(false);
        }
        self.is(Some(failure.message().to_owned()))
    }

    /// Takes in that everything that is needed is there.
    pub(in crate::cli) fn is_whole(&mut self, exporter: &Exporter) -> Option<Change> {
        exporter.custody_is(true);
        self.is(None)
    }

    fn is(&mut self, degraded: Option<String>) -> Option<Change> {
        let change = match &degraded {
            Some(why) if self.degraded.is_none() => Some(Change::Degraded(why.clone())),
            None if self.degraded.is_some() => Some(Change::Recovered),
            _ => None,
        };
        self.degraded = degraded;
        change
    }
}
