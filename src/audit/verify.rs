use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::event::{FILE_BEGUN, FILE_ENDED, HEAD_SIGNED, LOG_BEGUN, LOG_PRUNED, PREVIOUS_HASH};
use super::folder::{Folder, LogFile};
use super::note::Standing;
use crate::facts::{Digest, Timestamp};
use crate::protocol::PublicKey;
use crate::protocol::audit::{Entry, LONGEST_LINE, START, SignedHead};
use crate::protocol::json::Value;

/// A head that somebody else holds: the platform's receipt for one, or what an operator wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// Which log.
    pub log_id: String,
    /// The number of its last entry then.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Digest,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Which log.
    pub log_id: String,
    /// The number of the first entry that is here; those before it were pruned.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last.
    pub hash: Digest,
    /// Signed heads.
    pub heads: u64,
    /// The number up to which a signed head covers the log, and when it was signed. What stands behind it is safe from
    /// the disk, and not from whoever may write to it.
    pub signed: Option<(u64, Timestamp)>,
    /// The keys that signed heads.
    pub keys: Vec<PublicKey>,
    /// Heads that somebody else holds, and that are in the log as they say.
    pub known: u64,
    /// Whether a note of the log's end lay beside it. Without one, lines that were cut off its end are missed only by
    /// heads that somebody else holds.
    pub has_note: bool,
}

/// The first thing that is wrong with a log. Nothing behind it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// The line in it, from 1, where it is about one.
    pub line: Option<u64>,
    /// The number of the entry that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

/// Why a log does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It was changed, by somebody or by the disk.
    #[error("entry {}: {_0}", _0.seq)]
    Found(Finding),
    /// It could not be read, which says nothing about it.
    #[error(transparent)]
    Unread(#[from] AuditError),
}

/// How far back a signed head may point: others may have written while it was signed.
const REACH: u64 = 1 << 18;

/// Verifies a log from its first entry to its last. `trusted`: the keys that may sign heads; where there is none, each
/// is believed, and named in what comes back. `known`: heads that somebody else holds. `read` is told how many bytes
/// were read, now and then.
pub fn verify(
    folder: &Path,
    trusted: &[PublicKey],
    known: &[KnownHead],
    read: &mut dyn FnMut(u64),
) -> Result<Verified, VerifyError> {
    let folder = Folder::new(folder);
    // Nobody is in the middle of a line while the sizes are taken. A copy may lie where no lock can be made.
    let turn = folder.turn().ok();
    let sized = Sized::take(&folder)?;
    drop(turn);
    sized.verify(&folder, trusted, known, read)
}

/// The same for whoever has the turn.
pub(super) fn verify_held(
    folder: &Folder,
    trusted: &[PublicKey],
    known: &[KnownHead],
    read: &mut dyn FnMut(u64),
) -> Result<Verified, VerifyError> {
    Sized::take(folder)?.verify(folder, trusted, known, read)
}

/// What there is to verify at one moment.
struct Sized {
    standing: Result<Option<Standing>, AuditError>,
    files: Vec<(LogFile, u64)>,
}

impl Sized {
    fn take(folder: &Folder) -> Result<Self, AuditError> {
        let standing = Standing::read(folder.path());
        let size = |file: LogFile| match file.path.metadata() {
            Ok(meta) => Ok((file, meta.len())),
            Err(e) => Err(AuditError::io(file.path, &e)),
        };
        Ok(Self { standing, files: folder.files()?.into_iter().map(size).collect::<Result<_, _>>()? })
    }

    fn verify(
        self,
        folder: &Folder,
        trusted: &[PublicKey],
        known: &[KnownHead],
        read: &mut dyn FnMut(u64),
    ) -> Result<Verified, VerifyError> {
        let mut check = Check::new(folder, trusted, known);
        check.are_there(&self.files)?;
        for (file, size) in &self.files {
            check.file(file, *size, read)?;
        }
        check.end(self.standing)
    }
}

struct Check<'a> {
    folder: &'a Folder,
    trusted: &'a [PublicKey],
    known: &'a [KnownHead],
    path: PathBuf,
    line: u64,
    /// The hashes of the last entries, by their number.
    hashes: Vec<Digest>,
    previous: Digest,
    is_ended: bool,
    /// The entry up to which the log was pruned by what it says itself.
    pruned: Option<(u64, Digest)>,
    seen: Verified,
}

impl<'a> Check<'a> {
    fn new(folder: &'a Folder, trusted: &'a [PublicKey], known: &'a [KnownHead]) -> Self {
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
        };
        let (path, hashes) = (folder.path().to_owned(), Vec::new());
        Self { folder, trusted, known, path, line: 0, hashes, previous: START, is_ended: false, pruned: None, seen }
    }

    /// Whether the files are there without a gap.
    fn are_there(&self, files: &[(LogFile, u64)]) -> Result<(), VerifyError> {
        let Some((first, _)) = files.first() else {
            return Err(self.about_file(self.folder.path(), "there is no log here"));
        };
        let gap = files.iter().zip(first.number..).find(|((file, _), number)| file.number != *number);
        gap.map_or(Ok(()), |(_, number)| Err(self.about_file(&self.folder.file(number), "it is missing")))
    }

    fn file(&mut self, file: &LogFile, size: u64, read: &mut dyn FnMut(u64)) -> Result<(), VerifyError> {
        let is_first = self.seen.last == 0 && self.line == 0;
        self.path.clone_from(&file.path);
        self.line = 0;
        if !is_first && !self.is_ended {
            // The next file is made before the one before it ends, and stays empty where a crash came between.
            return if size == 0 { Ok(()) } else { Err(self.found("the file before it does not end as it should")) };
        }
        self.is_ended = false;
        let opened = File::open(&file.path).map_err(|e| AuditError::io(&file.path, &e))?;
        let mut lines = BufReader::with_capacity(1 << 20, opened.take(size));
        let (mut line, mut told) = (Vec::with_capacity(1024), 0_u64);
        loop {
            line.clear();
            let taken = lines.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
            let taken = taken.map_err(|e| AuditError::io(&file.path, &e))? as u64;
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
                Some((b'\n', entry)) => self.entry(entry, is_first)?,
                _ => return Err(self.found("the line is not whole: a crash cut it short, or somebody did")),
            }
        }
    }

    fn entry(&mut self, line: &[u8], in_first_file: bool) -> Result<(), VerifyError> {
        if self.is_ended {
            return Err(self.found("something stands behind the end of the file"));
        }
        if in_first_file && self.line == 1 {
            self.begin(line)?;
        }
        let next = self.next();
        let entry = Entry::follow(line, &self.previous, next).map_err(|e| self.found(&e.to_string()))?;
        let begins_log = entry.kind == LOG_BEGUN;
        if begins_log != (entry.seq == 1) || (self.line == 1) != (begins_log || entry.kind == FILE_BEGUN) {
            return Err(self.found("it stands where no such entry belongs"));
        }
        self.previous = entry.hash;
        (self.seen.last, self.seen.hash) = (entry.seq, entry.hash);
        self.remember(entry.seq, entry.hash);
        self.compare_known(&entry)?;
        match entry.kind.as_str() {
            LOG_BEGUN => entry.object.get_str("log_id").unwrap_or_default().clone_into(&mut self.seen.log_id),
            FILE_ENDED => self.is_ended = true,
            HEAD_SIGNED => self.head(&entry)?,
            LOG_PRUNED => self.pruned = Some(self.pruning(&entry)?),
            _ => {}
        }
        Ok(())
    }

    /// The first line of what is here: the beginning of the log, or of a file behind others that were pruned.
    fn begin(&mut self, line: &[u8]) -> Result<(), VerifyError> {
        let entry = Entry::read(line).map_err(|e| self.found(&e.to_string()))?;
        if entry.kind == FILE_BEGUN {
            let previous = entry.object.get_str(PREVIOUS_HASH).and_then(|hash| hash.parse().ok());
            self.previous = previous.ok_or_else(|| self.found("it does not say what it follows on"))?;
            self.seen.first = entry.seq;
            self.seen.last = entry.seq.saturating_sub(1);
        }
        Ok(())
    }

    fn head(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let signed = SignedHead::from_object(&entry.object).map_err(|e| self.found(&e.to_string()))?;
        let head = &signed.head;
        if self.seen.log_id.is_empty() {
            // The beginning was pruned.
            self.seen.log_id.clone_from(&head.log_id);
        }
        if head.log_id != self.seen.log_id {
            return Err(self.found("the head is that of another log"));
        }
        if !self.trusted.is_empty() && !self.trusted.contains(&signed.public_key) {
            return Err(self.found("the head is signed by a key that is not trusted"));
        }
        signed.verify().map_err(|_| self.found("the signature of the head does not verify"))?;
        match self.hash_of(head.seq, entry.seq) {
            Some(hash) if hash == head.hash => {}
            // Of what was pruned nothing is left to compare.
            None if head.seq < self.seen.first => {}
            _ => return Err(self.found("the head is not that of this log")),
        }
        self.seen.heads += 1;
        self.seen.signed = Some((head.seq, head.signed_at));
        if !self.seen.keys.contains(&signed.public_key) {
            self.seen.keys.push(signed.public_key);
        }
        Ok(())
    }

    fn pruning(&self, entry: &Entry) -> Result<(u64, Digest), VerifyError> {
        let through = entry.object.get("through").and_then(Value::as_i64).and_then(|seq| u64::try_from(seq).ok());
        let hash = entry.object.get_str("hash").and_then(|hash| hash.parse().ok());
        through.zip(hash).ok_or_else(|| self.found("it does not say what was pruned"))
    }

    fn compare_known(&mut self, entry: &Entry) -> Result<(), VerifyError> {
        let known = self.known.iter().filter(|known| known.seq == entry.seq && known.log_id == self.seen.log_id);
        for known in known {
            if known.hash != entry.hash {
                return Err(self.found("somebody else holds a head that is another one"));
            }
            self.seen.known += 1;
        }
        Ok(())
    }

    fn end(mut self, standing: Result<Option<Standing>, AuditError>) -> Result<Verified, VerifyError> {
        self.line += 1;
        if self.is_ended {
            let next = self.folder.files()?.last().map_or(1, |file| file.number + 1);
            return Err(self.about_file(&self.folder.file(next), "it is missing"));
        }
        if self.seen.last == 0 {
            return Err(self.found("there is no entry"));
        }
        let standing = standing.map_err(|e| self.found(&e.to_string()))?;
        if let Some(noted) = standing {
            self.seen.has_note = true;
            if noted.seq > self.seen.last {
                return Err(self.found(&format!("the log ends here, and had come to entry {}", noted.seq)));
            }
            if self.hash_of(noted.seq, self.seen.last).is_some_and(|hash| hash != noted.hash) {
                return Err(self.found("the note of its end is that of another log"));
            }
        }
        let cut = self.known.iter().find(|known| known.log_id == self.seen.log_id && known.seq > self.seen.last);
        if let Some(known) = cut {
            return Err(self.found(&format!("the log ends here, and somebody else holds its entry {}", known.seq)));
        }
        self.is_pruned_as_it_says()?;
        Ok(self.seen)
    }

    /// Files are gone from the beginning only where an entry says so that a signed head covers.
    fn is_pruned_as_it_says(&self) -> Result<(), VerifyError> {
        let missing = self.seen.first - 1;
        let (first, signed) = (self.seen.first, self.seen.signed.map_or(0, |(seq, _)| seq));
        let said = self.pruned.is_some_and(|(through, _)| through >= missing);
        if missing == 0 || (said && signed > first) {
            return Ok(());
        }
        let what = format!("entries 1 to {missing} are missing, and no signed entry says that they were pruned");
        Err(VerifyError::Found(Finding { path: self.folder.path().to_owned(), line: None, seq: 1, what }))
    }

    fn next(&self) -> u64 {
        self.seen.last + 1
    }

    fn remember(&mut self, seq: u64, hash: Digest) {
        let at = usize::try_from(seq % REACH).unwrap_or(0);
        if self.hashes.len() <= at {
            self.hashes.resize(at + 1, START);
        }
        self.hashes[at] = hash;
    }

    /// The hash of an entry at most [`REACH`] before `now`.
    fn hash_of(&self, seq: u64, now: u64) -> Option<Digest> {
        let is_here = seq >= self.seen.first && seq <= now && now - seq < REACH;
        is_here.then(|| self.hashes.get(usize::try_from(seq % REACH).unwrap_or(0)).copied()).flatten()
    }

    fn found(&self, what: &str) -> VerifyError {
        let line = (self.line > 0).then_some(self.line);
        VerifyError::Found(Finding { path: self.path.clone(), line, seq: self.next(), what: what.to_owned() })
    }

    fn about_file(&self, path: &Path, what: &str) -> VerifyError {
        VerifyError::Found(Finding { path: path.to_owned(), line: None, seq: self.next(), what: what.to_owned() })
    }
}
