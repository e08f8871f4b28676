use std::fmt;
use std::sync::Arc;

use crate::facts::{Clock, Timestamp};
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::witness::{
    Refusal, Statement, Submission, SubmissionError, SubmitterSignature, named_key, verify_receipt,
};

/// A checkpoint that somebody submits.
#[derive(Debug, Clone)]
pub struct Request {
    /// The checkpoint.
    pub submission: Submission,
    /// Who submits it, as whoever let them in calls them.
    pub caller: String,
    /// Their signature over it, where they made one.
    pub signature: Option<SubmitterSignature>,
    /// Receipts of this stream that the submitter holds. One of ours that the state does not know shows that the state
    /// was rolled back, or the witness cloned.
    pub known: Vec<Object>,
}

impl Request {
    /// A checkpoint and who submits it.
    pub fn new(submission: Submission, caller: impl Into<String>) -> Self {
        Self { submission, caller: caller.into(), signature: None, known: Vec::new() }
    }

    /// Verifies what can be verified without the state.
    pub(super) fn check(self) -> Result<Checked, SubmissionOrRefusal> {
        self.submission.check().map_err(SubmissionOrRefusal::Submission)?;
        if let Some(signature) = &self.signature {
            signature.verify(&self.submission).map_err(|_| SubmissionOrRefusal::Refusal(Refusal::NotSigned))?;
        }
        let known = self.known.into_iter().filter_map(|receipt| {
            let key = named_key(&receipt)?;
            let statement = verify_receipt(&receipt, &key).ok()?;
            Some(KnownReceipt { key, statement, receipt })
        });
        let known = known.collect();
        Ok(Checked { submission: self.submission, caller: self.caller, signature: self.signature, known })
    }
}

/// Why a request does not come before the state.
pub(super) enum SubmissionOrRefusal {
    Refusal(Refusal),
    Submission(SubmissionError),
}

/// A request of which everything is verified that it carries.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) submission: Submission,
    pub(super) caller: String,
    pub(super) signature: Option<SubmitterSignature>,
    pub(super) known: Vec<KnownReceipt>,
}

/// A receipt that verifies under the key that it names, whosever that is.
#[derive(Debug, Clone)]
pub(super) struct KnownReceipt {
    pub(super) key: PublicKey,
    pub(super) statement: Statement,
    pub(super) receipt: Object,
}

/// Gives statements their time.
pub trait Times: Send + Sync + fmt::Debug {
    /// The time of a statement that follows one of `last`.
    fn stamp(&self, last: Timestamp) -> Result<Timestamp, Refusal>;
}

/// The clock, which statements never let go back.
#[derive(Debug, Clone)]
pub struct GuardedClock(pub Arc<dyn Clock>);

/// So far a clock may go back, as one does that is corrected. Then time stands still for as long.
const CORRECTED: i64 = 60_000;

impl Times for GuardedClock {
    fn stamp(&self, last: Timestamp) -> Result<Timestamp, Refusal> {
        let now = self.0.now();
        if now < last.plus_millis(-CORRECTED) { Err(Refusal::ClockBehind) } else { Ok(now.max(last)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    fn stamp(now: i64, last: i64) -> Result<Timestamp, Refusal> {
        GuardedClock(Arc::new(At(now))).stamp(Timestamp::from_millis(last))
    }

    #[test]
    fn a_statements_time_never_goes_back() {
        assert_eq!(stamp(1_000_000, 900_000), Ok(Timestamp::from_millis(1_000_000)));
        assert_eq!(stamp(1_000_000, 1_060_000), Ok(Timestamp::from_millis(1_060_000)));
    }

    #[test]
    fn a_clock_that_is_far_behind_gives_no_time() {
        assert_eq!(stamp(1_000_000, 1_060_001), Err(Refusal::ClockBehind));
    }
}
