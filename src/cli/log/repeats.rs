use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many of one line are written within a window.
pub(super) const WRITTEN: u32 = 20;

/// A window begins with the first line of its kind.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Which lines repeat, and how many of them were left out. `K` is what makes two lines the same, `T` what is told of
/// them. Takes the time from its caller.
#[derive(Debug)]
pub(super) struct Repeats<K, T>(HashMap<K, Window<T>>);

#[derive(Debug)]
struct Window<T> {
    began: Instant,
    seen: u32,
    owed: Option<LeftOut<T>>,
}

/// Repeats that were left out, which has to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut<T> {
    pub(super) line: T,
    pub(super) times: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is written.
    Write,
    /// It is left out, as the first one that nobody was told of: that is due after so long.
    BeginLeavingOut(Duration),
    /// It is left out.
    LeaveOut,
}

impl<K: Eq + Hash, T> Repeats<K, T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Looks at a line; `line` says what is told of it, once it is left out.
    pub(super) fn see(&mut self, key: K, now: Instant, line: impl FnOnce() -> T) -> Seen {
        let window = self.0.entry(key).or_insert(Window { began: now, seen: 0, owed: None });
        let age = now.saturating_duration_since(window.began);
        if age >= WINDOW {
            (window.began, window.seen) = (now, 0);
        }
        window.seen = window.seen.saturating_add(1);
        if window.seen <= WRITTEN {
            return Seen::Write;
        }
        match &mut window.owed {
            Some(owed) => {
                owed.times += 1;
                Seen::LeaveOut
            }
            none => {
                *none = Some(LeftOut { line: line(), times: 1 });
                Seen::BeginLeavingOut(WINDOW - age)
            }
        }
    }

    /// What was left out of one line, to be told now.
    pub(super) fn take(&mut self, key: &K) -> Option<LeftOut<T>> {
        self.0.get_mut(key)?.owed.take()
    }

    /// What was left out of every line, to be told now.
    pub(super) fn take_all(&mut self) -> Vec<LeftOut<T>> {
        self.0.values_mut().filter_map(|window| window.owed.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn see(repeats: &mut Repeats<&'static str, &'static str>, key: &'static str, now: Instant) -> Seen {
        repeats.see(key, now, || key)
    }

    /// As many lines at `now` as are written at all.
    #[track_caller]
    fn fill(repeats: &mut Repeats<&'static str, &'static str>, now: Instant) {
        for _ in 0..WRITTEN {
            assert_eq!(see(repeats, "a", now), Seen::Write);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn repeats_are_left_out_and_counted_and_other_lines_are_not() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        fill(&mut repeats, start);
        assert_eq!(see(&mut repeats, "a", start + 3 * SECOND), Seen::BeginLeavingOut(WINDOW - 3 * SECOND));
        assert_eq!(see(&mut repeats, "a", start + 4 * SECOND), Seen::LeaveOut);
        assert_eq!(see(&mut repeats, "b", start + 4 * SECOND), Seen::Write);
        assert_eq!(repeats.take(&"b"), None);
        assert_eq!(repeats.take(&"a"), Some(LeftOut { line: "a", times: 2 }));
        assert_eq!(repeats.take_all(), []);
    }

    #[test]
    fn a_new_window_writes_again() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        fill(&mut repeats, start);
        assert_ne!(see(&mut repeats, "a", start + WINDOW - Duration::from_nanos(1)), Seen::Write);
        fill(&mut repeats, start + WINDOW);
        // What the first window owes is told all the same, with what the next one leaves out until then.
        assert_eq!(see(&mut repeats, "a", start + WINDOW), Seen::LeaveOut);
        assert_eq!(repeats.take_all(), [LeftOut { line: "a", times: 2 }]);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        fill(&mut repeats, start);
        see(&mut repeats, "a", start);
        assert_eq!(repeats.take(&"a"), Some(LeftOut { line: "a", times: 1 }));
        assert_eq!(see(&mut repeats, "a", start), Seen::BeginLeavingOut(WINDOW));
        assert_eq!(repeats.take(&"a"), Some(LeftOut { line: "a", times: 1 }));
    }
}
