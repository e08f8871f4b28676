use std::time::Duration;

/// Judgements after which an event is dead (section 5).
pub(super) const DEAD_AFTER: u32 = 8;

/// The longest time between two probes of a parked destination.
const LONGEST_PROBE: Duration = Duration::from_secs(300);

/// How long an event waits after its `failures`th judgement: min(3600, 2^min(n, 10)) seconds, as published.
pub(super) fn event_delay(failures: u32) -> Duration {
    Duration::from_secs((1 << failures.min(10)).min(3600))
}

/// How long a parked destination is left alone after its `failures`th probe: as an event, but at most five minutes.
pub(super) fn probe_delay(failures: u32) -> Duration {
    event_delay(failures).min(LONGEST_PROBE)
}

/// Lengthens a delay by up to a quarter, never shortens it, so that a thousand boxes do not come back as one.
/// `random` is any number.
pub(super) fn jittered(delay: Duration, random: u32) -> Duration {
    delay + delay / 4 * (random >> 16) / (1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_limit() {
        let seconds: Vec<_> = (1..=12).map(|n| event_delay(n).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        assert_eq!(probe_delay(u32::MAX), LONGEST_PROBE);
    }

    #[test]
    fn jitter_never_shortens_and_adds_a_quarter_at_most() {
        let delay = Duration::from_secs(64);
        assert_eq!(jittered(delay, 0), delay);
        assert!(jittered(delay, u32::MAX) > delay * 5 / 4 - Duration::from_millis(10));
        assert!(jittered(delay, u32::MAX) <= delay * 5 / 4);
    }
}
