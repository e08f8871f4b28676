use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AuditError;
use super::begun::Begun;
use super::end::End;
use super::event::{Event, FILE_ENDED, HEAD_SIGNED};
use super::folder::{self, Folder, Turn};
use super::note::{self, Note, Standing};
use crate::facts::{Clock, Digest, Timestamp, random_id};
use crate::protocol::audit::{Entry, write_line};
use crate::protocol::json::Object;

/// A log that is open to be appended to. Other processes may append to it too: each takes its turn, and reads first what
/// the others wrote. Blocking.
#[derive(Debug)]
pub(super) struct Log {
    folder: Folder,
    clock: Arc<dyn Clock>,
    log_id: String,
    note: Note,
    head_at: Option<Timestamp>,
    end: End,
    file: File,
    path: PathBuf,
    longest_file: u64,
    /// Whether the next entry belongs into the next file.
    is_ended: bool,
    pid: u32,
    /// What was cut off in bytes, and is not told of yet.
    cut: u64,
    /// For lines that are being written.
    lines: Vec<u8>,
}

impl Log {
    /// Opens the log in a folder, and begins one where there never was any.
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>, longest_file: u64) -> Result<Self, AuditError> {
        let folder = Folder::new(path);
        folder.make_folder()?;
        let turn = folder.turn()?;
        let (end, begun) = match End::find(&folder)? {
            Some(end) => (end, None),
            None => begin(&folder, &*clock, None).map(|(end, log_id)| (end, Some(log_id)))?,
        };
        let log_id = match begun {
            Some(log_id) => log_id,
            None => identify(&folder)?,
        };
        let standing = Standing::read(folder.path())?;
        if let Some(noted) = &standing {
            compare(noted, &folder, &log_id, &end)?;
        }
        let head_at = standing.and_then(|standing| standing.head_at);
        let note = Note::open(folder.path())?;
        let (file, path) = open_file(&folder, end.file)?;
        let pid = std::process::id();
        let (is_ended, cut, lines) = (false, 0, Vec::new());
        let mut log =
            Self { folder, clock, log_id, note, head_at, end, file, path, longest_file, is_ended, pid, cut, lines };
        log.mend(&turn)?;
        Ok(log)
    }

    /// Which log this is.
    pub(super) fn log_id(&self) -> &str {
        &self.log_id
    }

    /// The number and hash of the last entry that is known here.
    pub(super) const fn head(&self) -> (u64, Digest) {
        (self.end.seq, self.end.hash)
    }

    /// Appends entries. Where this fails none of them is there; they are on the disk after [`sync`](Self::sync).
    pub(super) fn append(&mut self, events: Vec<Event>) -> Result<(), AuditError> {
        let turn = self.folder.turn()?;
        self.catch_up(&turn)?;
        if self.end.length >= self.longest_file {
            self.next_file(&turn)?;
        }
        self.write(events)
    }

    /// What was appended is on the disk when this returns. Where it fails nothing says what is there, also where it was
    /// room that was missing: that is never [`AuditError::Full`], behind which one may go on.
    pub(super) fn sync(&self) -> Result<(), AuditError> {
        sync(&self.file, &self.path)?;
        let (seq, hash) = self.head();
        self.note.write(&Standing { log_id: self.log_id.clone(), seq, hash, head_at: self.head_at });
        Ok(())
    }

    fn write(&mut self, events: Vec<Event>) -> Result<(), AuditError> {
        let (now, has_head) = (self.clock.now(), events.iter().any(Event::is_head));
        let (time, mut seq, mut hash) = (now.to_string(), self.end.seq, self.end.hash);
        self.lines.clear();
        for event in events {
            seq += 1;
            hash = write_line(&mut self.lines, &hash, &event.entry(seq, &time, self.pid));
        }
        if let Err(e) = self.file.write_all(&self.lines) {
            // No part of a line stays behind that nobody answers for. Where this fails too, the next turn cuts it off.
            let _ = self.file.set_len(self.end.length);
            return Err(AuditError::io(&self.path, &e));
        }
        self.end = End { length: self.end.length + self.lines.len() as u64, seq, hash, ..self.end };
        if has_head {
            self.head_at = Some(now);
        }
        Ok(())
    }

    /// Reads what other processes wrote since, and sees that nothing else happened to the files: one that was deleted,
    /// moved or cut is noticed before anything is written to it.
    fn catch_up(&mut self, turn: &Turn) -> Result<(), AuditError> {
        loop {
            if self.is_ended {
                self.open_next()?;
            }
            let size = self.size()?;
            if size < self.end.length {
                return Err(AuditError::damaged(&self.path, "it is shorter than it was"));
            }
            if size > self.end.length {
                self.read_on(size)?;
            }
            if !self.is_ended {
                return self.mend(turn);
            }
        }
    }

    /// The size of the file, which must still be the one at its path.
    fn size(&self) -> Result<u64, AuditError> {
        fs::symlink_metadata(&self.path).map_err(|e| AuditError::missing(&self.path, &e))?;
        if !folder::is_at(&self.file, &self.path) {
            return Err(AuditError::damaged(&self.path, "another file was put in its place"));
        }
        self.file.metadata().map(|meta| meta.len()).map_err(|e| AuditError::io(&self.path, &e))
    }

    /// Reads the lines up to `size`.
    fn read_on(&mut self, size: u64) -> Result<(), AuditError> {
        let mut bytes = Vec::new();
        let read = self.file.seek(SeekFrom::Start(self.end.length));
        let read = read.and_then(|_| (&self.file).take(size - self.end.length).read_to_end(&mut bytes));
        read.map_err(|e| AuditError::io(&self.path, &e))?;
        let mut lines = bytes.as_slice();
        while let Some(at) = lines.iter().position(|&c| c == b'\n') {
            let entry = Entry::follow(&lines[..at], &self.end.hash, self.end.seq + 1)
                .map_err(|e| AuditError::damaged(&self.path, format!("entry {}: {e}", self.end.seq + 1)))?;
            (self.end.seq, self.end.hash) = (entry.seq, entry.hash);
            self.end.length += at as u64 + 1;
            self.is_ended = entry.kind == FILE_ENDED;
            if entry.kind == HEAD_SIGNED {
                self.head_at = Some(entry.time);
            }
            lines = &lines[at + 1..];
        }
        self.end.torn = lines.len() as u64;
        if self.is_ended && self.end.torn > 0 {
            return Err(AuditError::damaged(&self.path, "something stands behind its end"));
        }
        Ok(())
    }

    /// Cuts off what a crash left behind the last line, and writes down that it did; begins a file that nobody has.
    fn mend(&mut self, _: &Turn) -> Result<(), AuditError> {
        if self.end.torn > 0 {
            self.file.set_len(self.end.length).map_err(|e| AuditError::io(&self.path, &e))?;
            sync(&self.file, &self.path)?;
            self.cut += std::mem::take(&mut self.end.torn);
        }
        if self.end.length == 0 {
            // Whoever ended the file before may not have come to its fsync.
            let (before, path) = open_file(&self.folder, self.end.file - 1)?;
            sync(&before, &path)?;
            self.write(vec![Event::file_begun(&self.log_id, self.end.file, &self.end.hash)])?;
        }
        if self.cut > 0 {
            self.write(vec![Event::torn_line_cut(self.cut)])?;
            self.cut = 0;
        }
        Ok(())
    }

    /// Ends this file and goes on in the next. That one is there before anything says so.
    fn next_file(&mut self, turn: &Turn) -> Result<(), AuditError> {
        let next = self.end.file + 1;
        self.folder.make(next)?;
        self.write(vec![Event::file_ended(next)])?;
        self.is_ended = true;
        self.catch_up(turn)
    }

    fn open_next(&mut self) -> Result<(), AuditError> {
        let next = self.end.file + 1;
        (self.file, self.path) = open_file(&self.folder, next)?;
        self.end = End { file: next, length: 0, ..self.end };
        self.is_ended = false;
        Ok(())
    }
}

/// Begins a log, in a folder where none ever was. `after` tells which one it takes the place of.
pub(super) fn begin(folder: &Folder, clock: &dyn Clock, after: Option<Object>) -> Result<(End, String), AuditError> {
    if let (Some(log_id), None) = (folder.log_id()?, &after) {
        return Err(AuditError::damaged(folder.path(), format!("the log {log_id} is gone")));
    }
    let log_id = random_id("log_");
    let mut line = Vec::new();
    let event = Event::log_begun(&log_id, after).entry(1, &clock.now().to_string(), std::process::id());
    let hash = write_line(&mut line, &crate::protocol::audit::START, &event);
    // Beside its place first: the first line is there whole, or there is no log.
    let path = folder.file(1);
    let written = folder.make_draft().and_then(|(mut file, draft)| {
        file.write_all(&line)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        folder.sync()
    });
    written.map_err(|e| AuditError::io(&path, &e))?;
    folder.note_log_id(&log_id)?;
    Ok((End { file: 1, length: line.len() as u64, seq: 1, hash, torn: 0 }, log_id))
}

/// What the log calls itself in its first line, which is what was noted when it was begun.
fn identify(folder: &Folder) -> Result<String, AuditError> {
    let files = folder.files()?;
    let first = files.first().ok_or_else(|| AuditError::damaged(folder.path(), "it is gone"))?;
    let log_id = Begun::read(first)?.log_id;
    match folder.log_id()? {
        Some(noted) if noted == log_id => {}
        Some(_) => {
            return Err(AuditError::damaged(folder.id_file(), "it names another log than the one that is there"));
        }
        // Whoever began it died before it was noted.
        None => folder.note_log_id(&log_id)?,
    }
    Ok(log_id)
}

/// Whether the log has come as far as was noted, and by the same way.
fn compare(noted: &Standing, folder: &Folder, log_id: &str, end: &End) -> Result<(), AuditError> {
    if noted.seq > end.seq {
        let what = format!("it ends with entry {}, and had come to {}", end.seq, noted.seq);
        return Err(AuditError::damaged(folder.file(end.file), what));
    }
    if noted.log_id != log_id || (noted.seq == end.seq && noted.hash != end.hash) {
        return Err(AuditError::damaged(note::path(folder.path()), "it is the note of another log"));
    }
    Ok(())
}

fn open_file(folder: &Folder, number: u32) -> Result<(File, PathBuf), AuditError> {
    let path = folder.file(number);
    let file = folder::open_file(&path, OpenOptions::new().read(true).append(true));
    Ok((file.map_err(|e| AuditError::missing(&path, &e))?, path))
}

/// An fsync, whose failure is always one of the disk.
fn sync(file: &File, path: &Path) -> Result<(), AuditError> {
    file.sync_data().map_err(|e| AuditError::Io { path: path.to_owned(), what: e.to_string() })
}
