use prometheus::{Histogram, HistogramOpts, Registry};

use crate::store::COMMIT_SECONDS;

/// What the spool measures of itself.
#[derive(Debug)]
pub(super) struct Metrics {
    /// From the call to the answer.
    pub(super) enqueue: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Time from the call until what was enqueued is on the disk, or refused.";
        // As for a commit, of which an enqueue waits for one or two.
        let options = HistogramOpts::new("local_vault_enqueue_seconds", help).buckets(COMMIT_SECONDS.to_vec());
        // Only a name or a bucket that is none is refused.
        Self { enqueue: Histogram::with_opts(options).expect("a histogram of our own") }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.enqueue.clone()))
    }
}
