use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines of a ring at most, and their bytes together.
const LINES: usize = 1000;
const BYTES: usize = 512 * 1024;

/// The last lines of the log, for whoever asks the service for them. Warnings and errors have a ring of their own: a
/// batch of events says more than that in a moment, and does not push them out.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Kept(Arc<Mutex<Rings>>);

#[derive(Debug, Default)]
struct Rings {
    grave: Lines,
    usual: Lines,
    /// Lines so far.
    number: u64,
}

/// Lines by their number.
#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
}

/// Takes a line of one weight.
#[derive(Debug)]
pub(in crate::cli) struct Keeper {
    kept: Kept,
    is_grave: bool,
}

impl Kept {
    /// All of them, oldest first.
    pub(in crate::cli) fn text(&self) -> Vec<u8> {
        let rings = self.rings();
        let mut lines: Vec<&(u64, Vec<u8>)> = rings.grave.lines.iter().chain(&rings.usual.lines).collect();
        lines.sort_unstable_by_key(|(number, _)| *number);
        lines.into_iter().flat_map(|(_, line)| line).copied().collect()
    }

    fn keeper(&self, is_grave: bool) -> Keeper {
        Keeper { kept: self.clone(), is_grave }
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Keeper;

    fn make_writer(&'a self) -> Keeper {
        self.keeper(false)
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Keeper {
        self.keeper(*line.level() <= Level::WARN)
    }
}

impl Write for Keeper {
    /// Takes a line: the log writes each in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let rings = &mut *self.kept.rings();
        rings.number += 1;
        let ring = if self.is_grave { &mut rings.grave } else { &mut rings.usual };
        ring.keep(rings.number, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn keep(&mut self, number: u64, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push_back((number, line.to_vec()));
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some((_, oldest)) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(kept: &Kept, line: &str) {
        kept.make_writer().write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn the_last_lines_are_kept_in_order() {
        let kept = Kept::default();
        (0..LINES + 2).for_each(|n| keep(&kept, &format!("{n}\n")));
        let text = String::from_utf8(kept.text()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], *lines.last().unwrap()), (LINES, "2", "1001"));
    }

    #[test]
    fn long_lines_push_out_more_and_one_that_is_too_long_is_not_kept() {
        let kept = Kept::default();
        keep(&kept, "first\n");
        keep(&kept, &"x".repeat(BYTES - 6));
        assert_eq!(kept.text().len(), BYTES);
        keep(&kept, "y");
        assert!(kept.text().starts_with(b"x") && kept.text().ends_with(b"xy"));
        keep(&kept, &"z".repeat(BYTES + 1));
        assert_eq!(kept.text(), b"");
        keep(&kept, "last\n");
        assert_eq!(kept.text(), b"last\n");
    }

    #[test]
    fn a_warning_outlasts_any_number_of_other_lines_and_stands_where_it_was_written() {
        let kept = Kept::default();
        let grave = |line: &str| kept.keeper(true).write_all(line.as_bytes()).unwrap();
        keep(&kept, "before\n");
        grave("it matters\n");
        keep(&kept, "between\n");
        grave("it matters more\n");
        (0..LINES - 1).for_each(|n| keep(&kept, &format!("{n}\n")));
        let text = String::from_utf8(kept.text()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), LINES + 2);
        assert_eq!(lines[..4], ["it matters", "between", "it matters more", "0"]);
    }
}
