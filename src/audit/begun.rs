use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::AuditError;
use super::event::{FILE_BEGUN, LOG_BEGUN};
use super::folder::LogFile;
use crate::facts::Digest;
use crate::protocol::audit::{Entry, LONGEST_LINE, START};
use crate::protocol::json::Value;

/// What the first entry of a file says of it: where it belongs, and what it follows on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    /// The log.
    pub(super) log_id: String,
    /// The file's number.
    pub(super) file: u32,
    /// The hash of the entry before it.
    pub(super) previous: Digest,
}

impl Begun {
    /// `None` where it is no entry that a file begins with.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let log_id = entry.object.get_str("log_id")?.to_owned();
        match entry.kind.as_str() {
            LOG_BEGUN if entry.seq == 1 => Some(Self { log_id, file: 1, previous: START }),
            FILE_BEGUN if entry.seq > 1 => Some(Self {
                log_id,
                file: entry.object.get("file").and_then(Value::as_i64)?.try_into().ok()?,
                previous: entry.object.get_str("previous_hash")?.parse().ok()?,
            }),
            _ => None,
        }
    }

    /// What a file says that is not empty.
    pub(super) fn read(file: &LogFile) -> Result<Self, AuditError> {
        let begun = first_entry(&file.path)?.and_then(|entry| Self::of(&entry));
        begun.ok_or_else(|| AuditError::damaged(&file.path, "its first entry does not say where it belongs"))
    }
}

/// The first entry of a file; `None` where there is none that reads.
pub(super) fn first_entry(path: &Path) -> Result<Option<Entry>, AuditError> {
    let mut line = Vec::new();
    let read =
        File::open(path).and_then(|file| BufReader::new(file.take(LONGEST_LINE as u64)).read_until(b'\n', &mut line));
    read.map_err(|e| AuditError::io(path, &e))?;
    Ok(line.strip_suffix(b"\n").and_then(|line| Entry::read(line).ok()))
}
