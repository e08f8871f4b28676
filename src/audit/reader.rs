use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::AuditError;
use super::begun::first_entry;
use super::event::FILE_ENDED;
use super::folder::{Folder, LogFile};
use crate::facts::Timestamp;
use crate::protocol::audit::{Entry, LONGEST_LINE};

/// Reads entries in order, and later those that came meanwhile. Verifies nothing. Blocking.
#[derive(Debug)]
pub struct Reader {
    folder: Folder,
    since: Option<Timestamp>,
    at: Option<(BufReader<File>, LogFile, u64)>,
}

impl Reader {
    /// The log in this folder, from its first entry of `since` or later on.
    pub fn open(folder: &Path, since: Option<Timestamp>) -> Result<Self, AuditError> {
        let folder = Folder::new(folder);
        let files = folder.files()?;
        // A file is passed over where the next one begins before that time.
        let mut from = 0;
        while let (Some(since), Some(next)) = (since, files.get(from + 1)) {
            match first_entry(&next.path)? {
                Some(entry) if entry.time < since => from += 1,
                _ => break,
            }
        }
        let mut reader = Self { folder, since, at: None };
        match files.into_iter().nth(from) {
            Some(file) => reader.begin(file)?,
            None => {
                let path = reader.folder.path().to_owned();
                return Err(AuditError::Io { path, what: "there is no log".into() });
            }
        }
        Ok(reader)
    }

    /// The log in this folder, from the first entry of this file on.
    pub fn open_at(folder: &Path, file: &LogFile) -> Result<Self, AuditError> {
        let mut reader = Self { folder: Folder::new(folder), since: None, at: None };
        reader.begin(file.clone())?;
        Ok(reader)
    }

    /// The next entry, with its line as it stands in the file; `None` where there is none yet.
    pub fn next_entry(&mut self) -> Result<Option<(Entry, String)>, AuditError> {
        loop {
            let Some((lines, file, at)) = &mut self.at else { return Ok(None) };
            let mut line = Vec::new();
            let read = lines.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
            let read = read.map_err(|e| AuditError::io(&file.path, &e))?;
            if read == LONGEST_LINE && !line.ends_with(b"\n") {
                return Err(AuditError::damaged(&file.path, "a line in it is too long"));
            }
            if !line.ends_with(b"\n") {
                // Nothing, or a part of what somebody is just writing, which may end within a character.
                lines.seek(SeekFrom::Start(*at)).map_err(|e| AuditError::io(&file.path, &e))?;
                return Ok(None);
            }
            *at += read as u64;
            line.pop();
            let entry = Entry::read(&line).map_err(|e| AuditError::damaged(&file.path, e.to_string()))?;
            // What reads as an entry is text.
            let line = String::from_utf8_lossy(&line).into_owned();
            if entry.kind == FILE_ENDED {
                let next = file.number + 1;
                let path = self.folder.file(next);
                self.begin(LogFile { number: next, path })?;
            }
            if self.since.is_none_or(|since| entry.time >= since) {
                return Ok(Some((entry, line)));
            }
        }
    }

    fn begin(&mut self, file: LogFile) -> Result<(), AuditError> {
        let opened = File::open(&file.path).map_err(|e| AuditError::io(&file.path, &e))?;
        self.at = Some((BufReader::with_capacity(1 << 18, opened), file, 0));
        Ok(())
    }
}
