use std::fs::{File, Metadata};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::begun::Begun;
use super::event::{FILE_BEGUN, FILE_ENDED, HEAD_SIGNED, LOG_BEGUN, LOG_PRUNED};
use super::folder::{Folder, LogFile};
use super::note::{self, Standing};
use super::pruning::Pruning;
use super::trail::Trail;
use super::verify::{Finding, KnownHead, Verified, VerifyError};
use crate::protocol::PublicKey;
use crate::protocol::audit::{Entry, LONGEST_LINE, START, SignedHead};
use crate::protocol::json::Value;

/// A log on the way through it, entry by entry.
pub(super) struct Check<'a> {
    folder: &'a Folder,
    trusted: &'a [PublicKey],
    /// Heads that somebody else holds, the next one last.
    known: Vec<&'a KnownHead>,
    path: PathBuf,
    /// The number of the file.
    file: u32,
    line: u64,
    trail: Trail,
    is_ended: bool,
    /// Whether an empty file was passed.
    has_spare: bool,
    /// Whether the file that is read is the one that is written to.
    is_last: bool,
    pruning: Pruning,
    seen: Verified,
}

impl<'a> Check<'a> {
    pub(super) fn new(folder: &'a Folder, trusted: &'a [PublicKey], known: &'a [KnownHead]) -> Self {
        let seen = Verified {
            log_id: String::new(),
            first: 1,
            last: 0,
            hash: START,
            heads: 0,
            signed: None,
            keys: Vec::new(),
            known: 0,
            has_note: false,
            torn: 0,
        };
        let mut known: Vec<_> = known.iter().collect();
        known.sort_by_key(|known| std::cmp::Reverse(known.seq));
        Self {
            folder,
            trusted,
            known,
            path: folder.path().to_owned(),
            file: 0,
            line: 0,
            trail: Trail::default(),
            is_ended: false,
            has_spare: false,
            is_last: false,
            pruning: Pruning::default(),
            seen,
        }
    }

    /// Reads a file, behind all those before it.
    pub(super) fn file(
        &mut self,
        file: &LogFile,
        meta: &Metadata,
        is_last: bool,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), VerifyError> {
        if self.file > 0 && file.number != self.file + 1 + u32::from(self.has_spare) {
            return Err(self.about_file(&self.folder.file(self.file + 1), "it is missing"));
        }
        if !meta.is_file() {
            return Err(self.about_file(&file.path, "it is no plain file"));
        }
        // The next file is made before the one before it ends, and stays empty where a crash came between.
        let is_spare = meta.len() == 0 && self.file > 0 && !std::mem::replace(&mut self.has_spare, true);
        if self.file > 0 && !self.is_ended {
            let what = "the file before it does not end as it should";
            return if is_spare { Ok(()) } else { Err(self.about_file(&file.path, what)) };
        }
        if meta.len() == 0 && !is_spare {
            return Err(self.about_file(&file.path, "there is no entry in it"));
        }
        self.path.clone_from(&file.path);
        self.is_last = is_last;
        (self.file, self.line, self.is_ended) = (file.number, 0, false);
        self.lines(meta.len(), read)
    }

    fn lines(&mut self, size: u64, read: &mut dyn FnMut(u64)) -> Result<(), VerifyError> {
        let opened = File::open(&self.path).map_err(|e| AuditError::io(&self.path, &e))?;
        let mut lines = BufReader::with_capacity(1 << 18, opened.take(size));
        let (mut line, mut told) = (Vec::with_capacity(1024), 0_u64);
        loop {
            line.clear();
            let taken = lines.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
            let taken = taken.map_err(|e| AuditError::io(&self.path, &e))? as u64;
            told += taken;
            if taken == 0 || told >= 1 << 20 {
                read(told);
                told = 0;
            }
            if taken == 0 {
                return Ok(());
            }
            self.line += 1;
            match line.split_last() {
                Some((b'\n', entry)) => self.entry(entry)?,
                // Nobody was told that it is there, or the note of the end says so.
                _ if self.is_last && line.len() < LONGEST_LINE => {
                    self.line -= 1;
                    self.seen.torn = line.len() as u64;
                    return Ok(());
                }
                _ => return Err(self.found("the line is not whole")),
            }
        }
    }

    fn entry(&mut self, line: &[u8]) -> Result<(), VerifyError> {
        if self.is_ended {
            return Err(self.found("something stands behind the end of the file"));
        }
        if self.line == 1 {
            self.begin(line)?;
        }
        let entry = Entry::follow(line, &self.seen.hash, self.next()).map_err(|e| self.found(&e.to_string()))?;
        if self.line > 1 && matches!(entry.kind.as_str(), LOG_BEGUN | FILE_BEGUN) {
            return Err(self.found("it stands where no such entry belongs"));
        }
        self.compare_known(&entry)?;
        (self.seen.last, self.seen.hash) = (entry.seq, entry.hash);
        self.trail.add(entry.seq, entry.hash);
        match entry.kind.as_str() {
            FILE_ENDED => self.end_file(&entry),
            HEAD_SIGNED => self.head(&entry),
            LOG_PRUNED => self.pruning.read(&entry, &self.trail).map_err(|what| self.found_in_last(what)),
            _ => Ok(()),
        }
    }

    /// The first line of a file: it belongs here, and follows on the file before. What the first of all files follows
    /// on was pruned, or it begins the log.
    fn begin(&mut self, line: &[u8]) -> Result<(), VerifyError> {
        let entry = Entry::read(line).map_err(|e| self.found(&e.to_string()))?;
        let begun = Begun::of(&entry).ok_or_else(|| self.found("no file begins with such an entry"))?;
        if begun.file != self.file {
            return Err(self.found(&format!("it begins the file {}, and stands in file {}", begun.file, self.file)));
        }
        if self.seen.last == 0 {
            self.seen.first = entry.seq;
            self.seen.last = entry.seq.saturating_sub(1);
            self.seen.hash = begun.previous;
            self.pruning.begin(self.seen.last, begun.previous);
            self.known.retain(|known| known.log_id == begun.log_id && known.seq >= entry.seq);
            self.seen.log_id = begun.log_id;
        } else if begun.log_id != self.seen.log_id || begun.previous != self.seen.hash {
            return Err(self.found("it does not follow on the file before it"));
        }
        Ok(())
    }

    fn end_file(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        self.is_ended = true;
        let next = entry.object.get("next").and_then(Value::as_i64);
        match next == Some(i64::from(self.file) + 1) {
            true => Ok(()),
            false => Err(self.found_in_last("it names another file than the next one")),
        }
    }

    fn head(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let signed = SignedHead::from_object(&entry.object).map_err(|e| self.found_in_last(&e.to_string()))?;
        let head = &signed.head;
        if head.log_id != self.seen.log_id {
            return Err(self.found_in_last("the head is that of another log"));
        }
        if !self.trusted.is_empty() && !self.trusted.contains(&signed.public_key) {
            return Err(self.found_in_last("the head is signed by a key that is not trusted"));
        }
        signed.verify().map_err(|_| self.found_in_last("the signature of the head does not verify"))?;
        match self.trail.hash_of(head.seq) {
            Some(hash) if hash == head.hash && head.seq < entry.seq => {}
            // Of what was pruned nothing is left to compare.
            None if head.seq < self.seen.first => {}
            _ => return Err(self.found_in_last("the head is not that of this log")),
        }
        self.seen.heads += 1;
        // Of two processes, one may have signed later and for less.
        if self.seen.signed.is_none_or(|(seq, _)| seq < head.seq) {
            self.seen.signed = Some((head.seq, head.signed_at));
        }
        if !self.seen.keys.contains(&signed.public_key) {
            self.seen.keys.push(signed.public_key);
        }
        Ok(())
    }

    fn compare_known(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        while let Some(known) = self.known.pop_if(|known| known.seq == entry.seq) {
            if known.hash != entry.hash {
                return Err(self.found("somebody else holds a head that is another one"));
            }
            self.seen.known += 1;
        }
        Ok(())
    }

    /// Whether this is how far the log had come.
    pub(super) fn end(
        mut self,
        standing: Result<Option<Standing>, String>,
        log_id: Option<String>,
    ) -> Result<Verified, VerifyError> {
        if self.file == 0 {
            return Err(self.about_file(self.folder.path(), "there is no log here"));
        }
        self.line += 1;
        if self.is_ended {
            return Err(self.about_file(&self.folder.file(self.file + 1), "it is missing"));
        }
        let note = note::path(self.folder.path());
        if let Some(noted) = standing.map_err(|what| self.about_file(&note, &what))? {
            self.seen.has_note = true;
            if noted.seq > self.seen.last {
                return Err(self.found(&format!("the log ends here, and had come to entry {}", noted.seq)));
            }
            let is_other = self.trail.hash_of(noted.seq).is_some_and(|hash| hash != noted.hash);
            if is_other || noted.log_id != self.seen.log_id {
                return Err(self.about_file(&note, "it is the note of another log"));
            }
        }
        if let Some(known) = self.known.last() {
            return Err(self.found(&format!("the log ends here, and somebody else holds its entry {}", known.seq)));
        }
        if log_id.is_some_and(|log_id| log_id != self.seen.log_id) {
            return Err(self.about_file(&self.folder.id_file(), "it names another log than the one that is there"));
        }
        self.pruning.check(self.folder.path(), self.seen.signed.map_or(0, |(seq, _)| seq))?;
        Ok(self.seen)
    }

    const fn next(&self) -> u64 {
        self.seen.last + 1
    }

    /// About the entry that should stand in this line.
    fn found(&self, what: &str) -> VerifyError {
        self.about(self.next(), what)
    }

    /// About the one that does, and follows on those before it.
    fn found_in_last(&self, what: &str) -> VerifyError {
        self.about(self.seen.last, what)
    }

    fn about(&self, seq: u64, what: &str) -> VerifyError {
        VerifyError::Found(Finding { path: self.path.clone(), line: Some(self.line), seq, what: what.to_owned() })
    }

    fn about_file(&self, path: &Path, what: &str) -> VerifyError {
        let (path, what) = (path.to_owned(), what.to_owned());
        VerifyError::Found(Finding { path, line: None, seq: self.next(), what })
    }
}
