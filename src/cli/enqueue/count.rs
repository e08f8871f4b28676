use indicatif::ProgressBar;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::ingest::{Code, Refusal};
use crate::protocol::json::Object;
use crate::spool::Enqueued;

/// What became of the lines.
pub(super) struct Count {
    new: u64,
    known: u64,
    conflict: u64,
    refused: u64,
    /// The last line that is done with.
    last_line: u64,
    json: bool,
    bar: ProgressBar,
}

impl Count {
    pub(super) const fn new(last_line: u64, json: bool, bar: ProgressBar) -> Self {
        Self { new: 0, known: 0, conflict: 0, refused: 0, last_line, json, bar }
    }

    /// Counts a line, and tells of it where it was refused.
    pub(super) fn add(&mut self, number: u64, line: Result<Enqueued, Refusal>) -> Result<(), Failure> {
        self.last_line = number;
        let refusal = match line {
            Ok(enqueued) if enqueued.known => {
                self.known += 1;
                return Ok(());
            }
            Ok(_) => {
                self.new += 1;
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        match refusal.code {
            Code::SourceRefConflict | Code::SourceRefInUse => self.conflict += 1,
            _ => self.refused += 1,
        }
        let tell = || {
            if self.json {
                return Output::new().json(&refusal.to_object().with("line", number));
            }
            Output::new().note(&format!("line {number}: {}", printable(refusal.message())));
            Ok(())
        };
        self.bar.suspend(tell)
    }

    /// So many bytes are read.
    pub(super) fn has_read(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Says what became of all of it.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let Self { new, known, conflict, refused, last_line, .. } = *self;
        if self.json {
            let counts = Object::new().with("new", new).with("known", known).with("conflict", conflict);
            return Output::new().json(&counts.with("refused", refused).with("lastLine", last_line));
        }
        Output::new().line(&format!("new {new}, known {known}, conflict {conflict}, refused {refused}"))
    }

    /// Done, unless something was refused.
    pub(super) fn verdict(&self) -> Result<u8, Failure> {
        let refused = self.conflict + self.refused;
        if refused == 0 {
            return Ok(0);
        }
        let message = format!("{refused} of the lines were refused");
        Err(Failure::data(message, "Each is named above. The others are spooled; mend these, and enqueue them again."))
    }

    /// What ended it before the last line, with the way to go on.
    pub(super) fn go_on(&self, failure: Failure) -> Failure {
        let last = self.last_line;
        failure.about(&format!("stopped after line {last}")).then(&format!("Go on with --from-line {}.", last + 1))
    }
}
