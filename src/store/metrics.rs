use prometheus::{Histogram, HistogramOpts, Registry};

/// Bounds for the time of a commit: from half a millisecond, which a good disk takes for an fsync, to where a disk is broken.
pub const COMMIT_SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What a store measures of itself.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    /// Commits that had something to write.
    pub(super) commit: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Time of a commit of the spool, with its fsync, where there was anything to write.";
        let options = HistogramOpts::new("local_vault_commit_seconds", help).buckets(COMMIT_SECONDS.to_vec());
        // Only a name or a bucket that is none is refused.
        Self { commit: Histogram::with_opts(options).expect("a histogram of our own") }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.commit.clone()))
    }
}
