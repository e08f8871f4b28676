use std::time::Duration;

/// Judgements after which an event is dead (section 5).
pub(super) const DEAD_AFTER: u32 = 8;

/// The longest time between two probes of a parked destination, jitter included.
const LONGEST_PROBE: Duration = Duration::from_secs(300);

/// How long an event waits after its `failures`th judgement: min(3600, 2^min(n, 10)) seconds, as published, and up to
/// a quarter more, so that a thousand boxes do not come back as one. `random` is any number.
pub(super) fn event_delay(failures: u32, random: u32) -> Duration {
    let delay = Duration::from_secs((1 << failures.min(10)).min(3600));
    delay + delay / 4 * (random >> 16) / (1 << 16)
}

/// How long a parked destination is left alone after its `failures`th probe: as an event, but never more than five
/// minutes.
pub(super) fn probe_delay(failures: u32, random: u32) -> Duration {
    event_delay(failures, random).min(LONGEST_PROBE)
}

/// Any number, for the jitter.
pub(super) fn random() -> u32 {
    // Without randomness there is no jitter, and nothing worse.
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_limit() {
        let seconds: Vec<_> = (1..=12).map(|n| event_delay(n, 0).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
    }

    #[test]
    fn jitter_never_shortens_and_adds_a_quarter_at_most() {
        let longest = event_delay(6, u32::MAX);
        assert_eq!(event_delay(6, 0), Duration::from_secs(64));
        assert!(longest > Duration::from_millis(79_990) && longest <= Duration::from_secs(80));
    }

    #[test]
    fn probes_are_at_most_five_minutes_apart() {
        assert_eq!(probe_delay(8, 0), Duration::from_secs(256));
        assert_eq!(probe_delay(8, u32::MAX), LONGEST_PROBE);
        assert_eq!(probe_delay(u32::MAX, u32::MAX), LONGEST_PROBE);
    }
}
