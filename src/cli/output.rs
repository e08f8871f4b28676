// The one module that writes to standard output and standard error.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, BufWriter, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::failure::Failure;
use crate::protocol::json::Object;

/// Where a command's results go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output(());

impl Output {
    pub(super) const fn new() -> Self {
        Self(())
    }

    /// One line of results, flushed: another program may be waiting for it.
    pub(super) fn line(self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| Failure::io("standard output", &e))
    }

    /// One result for a machine.
    pub(super) fn json(self, object: &Object) -> Result<(), Failure> {
        self.line(&object.to_python_line())
    }

    /// Clears the terminal, for results that take the place of earlier ones (ECMA-48: CUP, ED).
    pub(super) fn clear(self) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        write!(out, "\x1b[H\x1b[J").and_then(|()| out.flush()).map_err(|e| Failure::io("standard output", &e))
    }

    /// A table: columns as wide as their widest cell.
    pub(super) fn table(self, header: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let cells = |row: &[String]| row.iter().map(|cell| cell.chars().count()).collect::<Vec<_>>();
        let mut widths: Vec<usize> = header.iter().map(|name| name.len()).collect();
        for row in rows {
            widths.iter_mut().zip(cells(row)).for_each(|(width, cell)| *width = (*width).max(cell));
        }
        let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
        for row in std::iter::once(&header).chain(rows) {
            let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            self.line(padded.join("  ").trim_end())?;
        }
        Ok(())
    }

    /// Standard output for many results, which is flushed by whoever writes them.
    pub(super) fn stream(self) -> impl Write {
        BufWriter::with_capacity(64 * 1024, io::stdout())
    }

    /// Asks a person at a terminal something that is answered by yes or no. `None` where nobody is there.
    pub(super) fn ask(self, question: &str) -> Result<Option<bool>, Failure> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let mut answer = String::new();
        let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stdin().read_line(&mut answer));
        asked.map_err(|e| Failure::io("the terminal", &e))?;
        Ok(Some(matches!(answer.trim(), "y" | "yes")))
    }

    /// A remark that is no result.
    pub(super) fn note(self, line: &str) {
        // Nobody is left to tell where standard error is gone; the same below.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// How a command failed. Where the reader of standard output went away, nobody is told.
    pub(super) fn failure(self, failure: &Failure) {
        if !failure.is_broken_pipe() {
            failure.lines().for_each(|line| self.note(&line));
        }
    }
}

/// A bar on a terminal, and nothing elsewhere. It is gone when the command ends, however that ends.
pub(super) fn progress(length: u64, what: &'static str) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target).with_message(what);
    let bar = bar.with_finish(ProgressFinish::AndClear);
    // The template is ours and holds.
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {per_sec} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Text from outside as it is safe on a terminal: what moves the cursor, starts an escape sequence or turns the order
/// of the letters around (Unicode's bidirectional controls) is escaped.
pub(super) fn printable(text: &str) -> String {
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}
