use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread;

use tokio::sync::mpsc;

use crate::cli::failure::Failure;
use crate::ingest::{Group, Lines, Refusal, Submission};

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;
/// Groups that are read ahead of the one that is being committed.
const AHEAD: usize = 2;

/// A group of lines with the number of bytes that were read by its end, or why no more can be read.
pub(super) type Next = io::Result<(Group, u64)>;

/// Where events come from.
pub(super) struct Source {
    input: Box<dyn Read + Send>,
    length: u64,
}

impl Source {
    /// A file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { input: Box::new(io::stdin()), length: 0 });
        }
        let failed = |e| Failure::io(&format!("cannot read {}", path.display()), &e);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self { input: Box::new(file), length })
    }

    /// In bytes, where that is known.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Reads on a thread of its own, beside the commits, and by `admit`. Lines before `first` are counted.
    pub(super) fn read(
        self,
        first: u64,
        admit: impl Fn(&[u8]) -> Result<Submission, Refusal> + Send + 'static,
    ) -> mpsc::Receiver<Next> {
        let (groups, taken) = mpsc::channel(AHEAD);
        let reader = Reader { lines: Lines::default(), group: Group::default(), read: 0, first, admit, groups };
        // Whoever takes nothing any more ends it.
        thread::spawn(move || reader.run(self.input));
        taken
    }
}

struct Reader<A> {
    lines: Lines,
    group: Group,
    read: u64,
    first: u64,
    admit: A,
    groups: mpsc::Sender<Next>,
}

/// Nobody takes what is read any more.
struct Gone;

impl<A: Fn(&[u8]) -> Result<Submission, Refusal>> Reader<A> {
    fn run(mut self, mut input: impl Read) {
        let mut piece = vec![0; PIECE];
        loop {
            let done = match input.read(&mut piece) {
                Ok(0) => {
                    let _ = self.take_last().and_then(|()| self.send());
                    return;
                }
                Ok(length) => self.take(&piece[..length]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(e) => {
                    // What came before it is whole.
                    let _ = self.send().map(|()| self.groups.blocking_send(Err(e)));
                    return;
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Gone> {
        self.read += piece.len() as u64;
        self.lines.push(piece);
        while let Some(line) = self.lines.next_line() {
            if line.number >= self.first {
                let submission = line.bytes.ok_or_else(Refusal::too_large).and_then(&self.admit);
                self.group.push(line.number, line.bytes.map_or(0, <[u8]>::len), submission);
            }
            if self.group.is_full() {
                self.send()?;
            }
        }
        Ok(())
    }

    fn take_last(&mut self) -> Result<(), Gone> {
        if let Some(line) = self.lines.last_line().filter(|line| line.number >= self.first) {
            let submission = line.bytes.ok_or_else(Refusal::too_large).and_then(&self.admit);
            self.group.push(line.number, line.bytes.map_or(0, <[u8]>::len), submission);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Gone> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        self.groups.blocking_send(Ok((group, self.read))).map_err(|_| Gone)
    }
}
