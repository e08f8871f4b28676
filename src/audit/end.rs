use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::AuditError;
use super::begun::Begun;
use super::event::FILE_ENDED;
use super::folder::{Folder, LogFile, gap};
use crate::facts::Digest;
use crate::protocol::audit::{Entry, LONGEST_LINE};

/// Where a log ends: what the next entry is bound to, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The file to write to.
    pub(super) file: u32,
    /// Its length in bytes, behind the last whole line.
    pub(super) length: u64,
    /// The number of the last entry.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: Digest,
    /// What a crash left behind the last whole line, in bytes. It was never answered for.
    pub(super) torn: u64,
}

impl End {
    /// Finds the end, and checks that no file is missing and that the last entry follows on the one before it. `None`
    /// where there is no entry.
    pub(super) fn find(folder: &Folder) -> Result<Option<Self>, AuditError> {
        let files = folder.files()?;
        // A file that is empty was made by whoever did not come to write to it.
        let Some(at) = files.iter().rposition(|file| !is_empty(&file.path)) else { return Ok(None) };
        if let Some(missing) = gap(&files) {
            return Err(AuditError::damaged(folder.file(missing), "it is missing"));
        }
        if files.len() > at + 2 {
            return Err(AuditError::damaged(&files[at + 1].path, "it is empty, and was not"));
        }
        let file = &files[at];
        let tail = Tail::read(&file.path)?;
        let Some((last, line)) = tail.last(file)? else {
            return Self::behind_torn(file, &files[..at], tail.torn);
        };
        let begun = Begun::read(file)?;
        // What the first of all files follows on was pruned, or it begins the log.
        let before = files[..at].last().map(ended).transpose()?;
        if begun.file != file.number || before.as_ref().is_some_and(|before| before.hash != begun.previous) {
            return Err(AuditError::damaged(&file.path, "it does not follow on the file before it"));
        }
        let (previous, before) = match tail.before()? {
            Some(before) => (before.hash, before.seq),
            // The only line of its file.
            None => (begun.previous, before.map_or(last.seq.saturating_sub(1), |before| before.seq)),
        };
        Entry::follow(line, &previous, before.saturating_add(1)).map_err(|e| tail.damaged(&e.to_string()))?;
        let end = Self { file: file.number, length: tail.length, seq: last.seq, hash: last.hash, torn: tail.torn };
        if last.kind != FILE_ENDED {
            return Ok(Some(end));
        }
        match files.get(at + 1) {
            Some(next) if next.number == file.number + 1 && tail.torn == 0 => {
                Ok(Some(Self { file: next.number, length: 0, ..end }))
            }
            _ => Err(AuditError::damaged(folder.file(file.number + 1), "it is missing")),
        }
    }

    /// A file in which nothing but the beginning of its first line is there.
    fn behind_torn(file: &LogFile, before: &[LogFile], torn: u64) -> Result<Option<Self>, AuditError> {
        let Some(previous) = before.last() else {
            // The log's very first line is written beside and moved there whole.
            return Err(AuditError::damaged(&file.path, "its first line is not whole"));
        };
        let last = ended(previous)?;
        Ok(Some(Self { file: file.number, length: 0, seq: last.seq, hash: last.hash, torn }))
    }
}

/// The last entry of a file.
pub(super) fn last_entry(file: &LogFile) -> Result<Entry, AuditError> {
    let tail = Tail::read(&file.path)?;
    let last = tail.last(file)?.map(|(entry, _)| entry);
    last.ok_or_else(|| AuditError::damaged(&file.path, "there is no entry in it"))
}

/// The last entry of a file that another one follows on.
fn ended(file: &LogFile) -> Result<Entry, AuditError> {
    let last = last_entry(file)?;
    match last.kind == FILE_ENDED {
        true => Ok(last),
        false => Err(AuditError::damaged(&file.path, "it does not end as a file does that another one follows")),
    }
}

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.len() == 0)
}

/// The last bytes of a file: two whole lines, where there are two.
struct Tail<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    /// Where in `bytes` the last whole line ends, behind its line end.
    whole: usize,
    /// Where that is in the file.
    length: u64,
    /// What is behind it.
    torn: u64,
    from_start: bool,
}

impl<'a> Tail<'a> {
    fn read(path: &'a Path) -> Result<Self, AuditError> {
        let read = || -> io::Result<(Vec<u8>, u64)> {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            // Two whole lines, the beginning of a third, and the end of the one before.
            let from = size.saturating_sub(3 * LONGEST_LINE as u64 + 1);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(size - from).read_to_end(&mut bytes)?;
            Ok((bytes, from))
        };
        let (bytes, from) = read().map_err(|e| AuditError::io(path, &e))?;
        let whole = bytes.iter().rposition(|&c| c == b'\n').map_or(0, |at| at + 1);
        let torn = (bytes.len() - whole) as u64;
        if torn > LONGEST_LINE as u64 {
            return Err(AuditError::damaged(path, "what stands behind its last line is no part of one"));
        }
        Ok(Self { path, whole, length: from + whole as u64, torn, from_start: from == 0, bytes })
    }

    /// The last whole line, read and as it is.
    fn last(&self, file: &LogFile) -> Result<Option<(Entry, &[u8])>, AuditError> {
        let Some((line, _)) = self.line_before(self.whole) else { return Ok(None) };
        let entry = Entry::read(line).map_err(|e| AuditError::damaged(&file.path, format!("its last entry: {e}")))?;
        Ok(Some((entry, line)))
    }

    /// The whole line before the last.
    fn before(&self) -> Result<Option<Entry>, AuditError> {
        let Some((_, at)) = self.line_before(self.whole) else { return Ok(None) };
        match self.line_before(at) {
            None if self.from_start => Ok(None),
            None => Err(self.damaged("a line in it is too long")),
            Some((line, _)) => Entry::read(line).map(Some).map_err(|e| self.damaged(&e.to_string())),
        }
    }

    /// The line that ends at `end`, without its line end, and where it begins.
    fn line_before(&self, end: usize) -> Option<(&[u8], usize)> {
        let line = self.bytes[..end].strip_suffix(b"\n")?;
        let begin = line.iter().rposition(|&c| c == b'\n').map_or(0, |at| at + 1);
        (begin > 0 || self.from_start).then(|| (&line[begin..], begin))
    }

    fn damaged(&self, what: &str) -> AuditError {
        AuditError::damaged(self.path, format!("its last entry: {what}"))
    }
}
