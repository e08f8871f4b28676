use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::refusal::Code;
use super::{Snapshot, Verdict, WitnessError};

/// From a file beside us to a TPM's counter.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Up to a full batch.
const TURNS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What the witness measures of itself. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    decided: IntCounterVec,
    refused: IntCounterVec,
    strangers: IntCounter,
    untold: IntCounter,
    steps: Histogram,
    turns: Histogram,
    records: IntGauge,
    anchored: IntGauge,
    stopped: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let decided = Opts::new("local_vault_witness_checkpoints_total", "Checkpoints that were decided about.");
        let refused = Opts::new("local_vault_witness_refused_total", "Submissions that were not decided about.");
        let strangers = "Requests of callers that nobody has listed.";
        let untold = "Forks whose hook was not started, because too many waited for it.";
        let steps = HistogramOpts::new("local_vault_witness_anchor_seconds", "Time of a step of the anchor.");
        let turns = "Submissions that were committed together.";
        let turns = HistogramOpts::new("local_vault_witness_turn_submissions", turns);
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect("a gauge of our own");
        // Only a name or a bucket that is none is refused.
        let metrics = Self {
            decided: IntCounterVec::new(decided, &["verdict"]).expect("a counter of our own"),
            refused: IntCounterVec::new(refused, &["reason"]).expect("a counter of our own"),
            strangers: IntCounter::new("local_vault_witness_strangers_total", strangers).expect("a counter of our own"),
            untold: IntCounter::new("local_vault_witness_hooks_dropped_total", untold).expect("a counter of our own"),
            steps: Histogram::with_opts(steps.buckets(SECONDS.to_vec())).expect("a histogram of our own"),
            turns: Histogram::with_opts(turns.buckets(TURNS.to_vec())).expect("a histogram of our own"),
            records: gauge("local_vault_witness_records", "The number of the witness's last record."),
            anchored: gauge("local_vault_witness_anchored_records", "The number that its anchor stands at."),
            stopped: gauge("local_vault_witness_stopped", "Whether an incident keeps the witness from signing."),
        };
        // What never happened is told as 0: a rate needs a value before the first one.
        ["accepted", "replayed", "forked"].iter().for_each(|name| drop(metrics.decided.with_label_values(&[name])));
        Code::ALL.iter().for_each(|code| drop(metrics.refused.with_label_values(&[code.name()])));
        metrics
    }
}

impl Metrics {
    /// Lets `registry` gather these.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.decided.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.strangers.clone()))?;
        registry.register(Box::new(self.untold.clone()))?;
        registry.register(Box::new(self.steps.clone()))?;
        registry.register(Box::new(self.turns.clone()))?;
        registry.register(Box::new(self.records.clone()))?;
        registry.register(Box::new(self.anchored.clone()))?;
        registry.register(Box::new(self.stopped.clone()))
    }

    /// Notes whether an incident keeps a witness from signing that is not open.
    pub fn stopped_is(&self, stopped: bool) {
        self.stopped.set(stopped.into());
    }

    /// Notes a fork whose hook was not started.
    pub fn hook_dropped(&self) {
        self.untold.inc();
    }

    pub(super) fn submitted(&self, verdict: &Result<Verdict, WitnessError>) {
        match verdict {
            Ok(verdict) => self.decided.with_label_values(&[verdict.name()]).inc(),
            Err(error) => self.refused(super::refusal::Refusal::from(error).code),
        }
    }

    pub(super) fn refused(&self, code: Code) {
        self.refused.with_label_values(&[code.name()]).inc();
    }

    pub(super) fn stranger(&self) {
        self.strangers.inc();
    }

    pub(super) fn stepped(&self, took: Duration) {
        self.steps.observe(took.as_secs_f64());
    }

    pub(super) fn took(&self, submissions: usize) {
        self.turns.observe(submissions as f64);
    }

    pub(super) fn stands(&self, standing: &Snapshot) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.records.set(number(standing.floor.count));
        self.anchored.set(standing.anchored.map_or(0, number));
        self.stopped_is(standing.stopped.is_some());
    }
}
