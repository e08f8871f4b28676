use prometheus::{Histogram, HistogramOpts};

use super::Purpose;

/// From a key in memory to a device that is as slow as its deadline.
const SECONDS: [f64; 12] = [0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The time that a key takes for a signature. The purpose is a label of the whole histogram, so that the signers of
/// one process go into one registry.
pub(super) fn sign_seconds(purpose: Purpose) -> Histogram {
    let help = "Time that a key took for a signature, or to refuse one, without the wait for its turn.";
    let options = HistogramOpts::new("local_vault_sign_seconds", help).buckets(SECONDS.to_vec());
    // Only a name or a bucket that is none is refused.
    Histogram::with_opts(options.const_label("purpose", purpose.name())).expect("a histogram of our own")
}
