use prometheus::{Histogram, HistogramOpts, Registry};

/// As for a commit, of which an enqueue waits for one or two.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What the spool measures of itself.
#[derive(Debug)]
pub(super) struct Metrics {
    /// From the call to the answer.
    pub(super) enqueue: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Time from the call until what was enqueued is on the disk, or refused.";
        let options = HistogramOpts::new("local_vault_enqueue_seconds", help).buckets(SECONDS.to_vec());
        // Only a name or a bucket that is none is refused.
        Self { enqueue: Histogram::with_opts(options).expect("a histogram of our own") }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.enqueue.clone()))
    }
}
