use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept at most, and their bytes together.
const LINES: usize = 1000;
const BYTES: usize = 512 * 1024;

/// The last lines of the log, for whoever asks the service for them.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Kept(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    /// All of them, oldest first.
    pub(in crate::cli) fn text(&self) -> Vec<u8> {
        self.lines().lines.iter().flatten().copied().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Kept {
    /// Takes a line: the log writes each in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines().keep(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn keep(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push_back(line.to_vec());
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(kept: &mut Kept, line: &str) {
        kept.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn the_last_lines_are_kept_in_order() {
        let mut kept = Kept::default();
        (0..LINES + 2).for_each(|n| keep(&mut kept, &format!("{n}\n")));
        let text = String::from_utf8(kept.text()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], *lines.last().unwrap()), (LINES, "2", "1001"));
    }

    #[test]
    fn long_lines_push_out_more_and_one_that_is_too_long_is_not_kept() {
        let mut kept = Kept::default();
        keep(&mut kept, "first\n");
        keep(&mut kept, &"x".repeat(BYTES - 6));
        assert_eq!(kept.text().len(), BYTES);
        keep(&mut kept, "y");
        assert!(kept.text().starts_with(b"x") && kept.text().ends_with(b"xy"));
        keep(&mut kept, &"z".repeat(BYTES + 1));
        assert_eq!(kept.text(), b"");
        keep(&mut kept, "last\n");
        assert_eq!(kept.text(), b"last\n");
    }
}
