use std::time::Duration;

use super::reader::Section;

/// How `run` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSettings {
    /// From the wish to end until what is under way is left to the next start.
    pub drain: Duration,
}

/// Below what systemd waits before it kills (90 s by default, 45 s in the unit that is shipped).
const DRAIN: Duration = Duration::from_secs(20);

impl Default for RunSettings {
    fn default() -> Self {
        Self { drain: DRAIN }
    }
}

/// Reads `[run]`.
pub(super) fn read(mut section: Section<'_>) -> RunSettings {
    let drain = section.seconds("drain_seconds").map(Duration::try_from_secs_f64);
    if matches!(drain, Some(Err(_))) {
        section.problem("drain_seconds is too long");
    }
    section.end();
    drain.and_then(Result::ok).map_or_else(RunSettings::default, |drain| RunSettings { drain })
}
