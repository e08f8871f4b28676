use std::ops::Range;

use super::LONGEST_LINE;

/// Lines of NDJSON out of bytes as they come. Holds no more than one line and what came with its end.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// Where the end of that line is, or up to where there is none.
    seen: usize,
    /// Within a line that is too long.
    is_skipping: bool,
    number: u64,
}

/// A line of bytes, without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes; `None` where it is longer than [`LONGEST_LINE`].
    pub bytes: Option<&'a [u8]>,
}

impl Lines {
    /// Takes in what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        (self.at, self.seen) = (0, self.seen - self.at);
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line that is whole. Lines without anything but white space are counted and passed over.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        while self.has_line() {
            if let Some(found) = self.step() {
                return Some(self.line(found));
            }
        }
        None
    }

    /// Whether a whole line waits, blank or not.
    pub(super) fn has_line(&mut self) -> bool {
        let end = self.bytes[self.seen..].iter().position(|&c| c == b'\n');
        self.seen = end.map_or(self.bytes.len(), |end| self.seen + end);
        if end.is_none() {
            self.is_skipping |= self.seen - self.at > LONGEST_LINE;
            if self.is_skipping {
                self.at = self.seen;
            }
        }
        end.is_some()
    }

    /// The line that waits; `None` where it is blank, or there is none. A blank one is counted.
    pub(super) fn next_unless_blank(&mut self) -> Option<Line<'_>> {
        if !self.has_line() {
            return None;
        }
        let found = self.step()?;
        Some(self.line(found))
    }

    /// What is left at the end, where the last line has no end of its own.
    pub fn last_line(&mut self) -> Option<Line<'_>> {
        if !self.has_rest() {
            return None;
        }
        let range = self.at..self.bytes.len();
        (self.at, self.seen) = (range.end, range.end);
        let found = self.count(range)?;
        Some(self.line(found))
    }

    /// Whether there is something at the end that has no end of its own.
    pub(super) const fn has_rest(&self) -> bool {
        self.at < self.bytes.len() || self.is_skipping
    }

    /// Lines so far.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Takes the line whose end was found.
    fn step(&mut self) -> Option<Option<Range<usize>>> {
        let range = self.at..self.seen;
        (self.at, self.seen) = (range.end + 1, range.end + 1);
        self.count(range)
    }

    /// Counts a line, and says where it is unless it is blank; `None` within where it is too long.
    fn count(&mut self, range: Range<usize>) -> Option<Option<Range<usize>>> {
        self.number += 1;
        if std::mem::take(&mut self.is_skipping) || range.len() > LONGEST_LINE {
            return Some(None);
        }
        let is_blank = self.bytes[range.clone()].iter().all(u8::is_ascii_whitespace);
        (!is_blank).then_some(Some(range))
    }

    fn line(&self, found: Option<Range<usize>>) -> Line<'_> {
        Line { number: self.number, bytes: found.map(|range| &self.bytes[range]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line of `text`, which comes in pieces of this size; what is too long is a line of none.
    fn lines(text: &[u8], piece: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let owned = |line: Line<'_>| (line.number, line.bytes.map(<[u8]>::to_vec));
        for piece in text.chunks(piece) {
            lines.push(piece);
            while let Some(line) = lines.next_line() {
                found.push(owned(line));
            }
        }
        found.extend(lines.last_line().map(owned));
        found
    }

    #[test]
    fn lines_are_the_same_whatever_pieces_they_come_in() {
        let text = b"one\n\n  \r\ntwo\r\nthree";
        let expected = vec![(1, Some(b"one".to_vec())), (4, Some(b"two\r".to_vec())), (5, Some(b"three".to_vec()))];
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece), expected, "{piece}");
        }
        assert_eq!(lines(b"one\n", 2), [(1, Some(b"one".to_vec()))]);
        assert_eq!(lines(b"", 1), []);
    }

    #[test]
    fn a_blank_line_is_a_step_of_its_own_where_that_is_asked() {
        let mut lines = Lines::default();
        lines.push(b"\n \none\ntw");
        let mut told = Vec::new();
        while lines.has_line() {
            let bytes = lines.next_unless_blank().and_then(|line| line.bytes).map(<[u8]>::to_vec);
            told.push((lines.number(), bytes));
        }
        assert_eq!(told, [(1, None), (2, None), (3, Some(b"one".to_vec()))]);
        assert_eq!(lines.next_unless_blank(), None);
        lines.push(b"o\n");
        assert_eq!(lines.next_unless_blank(), Some(Line { number: 4, bytes: Some(b"two") }));
    }

    #[test]
    fn a_line_that_is_too_long_is_one_line_and_is_not_kept() {
        let mut text = vec![b'x'; LONGEST_LINE + 1];
        text.extend_from_slice(b"\nnext\n");
        for piece in [64 * 1024, text.len()] {
            assert_eq!(lines(&text, piece), [(1, None), (2, Some(b"next".to_vec()))], "{piece}");
        }
        text.truncate(LONGEST_LINE + 1);
        assert_eq!(lines(&text, 64 * 1024), [(1, None)]);
    }
}
