use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::AuditError;
use crate::facts::{Digest, Timestamp};
use crate::protocol::json::{self, Object, Value};

/// How far a log had come when it was last synced. A log that ends before that was cut. Whoever can change the log can
/// change this too: it is for the disk's faults and the careless; signed heads that somebody else holds are for the rest.
///
/// It is written without an fsync, and always behind the log's: so it may be older than the log, and never newer. It has
/// one form, with a checksum in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which log.
    pub log_id: String,
    /// The number of its last entry.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Digest,
    /// When a head was signed last.
    pub head_at: Option<Timestamp>,
}

/// Where it is kept, open for writing.
#[derive(Debug)]
pub(super) struct Note {
    file: File,
}

/// All of it in one sector, so that it is there whole or not.
const LENGTH: usize = 256;
const READ_AGAIN: usize = 5;

impl Standing {
    /// What is noted in the folder of a log; `None` where nothing is.
    pub fn read(folder: &Path) -> Result<Option<Self>, AuditError> {
        let mut read = Self::read_once(folder);
        // Whoever writes it has no turn: it may be read in the middle.
        for _ in 0..READ_AGAIN {
            match read {
                Err(AuditError::Damaged { .. }) => thread::sleep(Duration::from_millis(1)),
                read => return read,
            }
            read = Self::read_once(folder);
        }
        read
    }

    fn read_once(folder: &Path) -> Result<Option<Self>, AuditError> {
        let path = path(folder);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(AuditError::io(&path, &e)),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let read = json::parse(&text).ok().and_then(|object| Self::from_object(&object));
        let read = read.filter(|standing| standing.line() == text);
        read.map(Some).ok_or_else(|| AuditError::damaged(&path, "it is not as it was written"))
    }

    fn from_object(object: &Object) -> Option<Self> {
        Some(Self {
            log_id: object.get_str("log_id")?.to_owned(),
            seq: object.get("seq").and_then(Value::as_i64)?.try_into().ok()?,
            hash: object.get_str("hash")?.parse().ok()?,
            head_at: object.get_str("head_at").and_then(|time| Timestamp::parse(time).ok()),
        })
    }

    fn line(&self) -> Vec<u8> {
        let object = Object::new()
            .with("log_id", self.log_id.as_str())
            .with("seq", self.seq)
            .with("hash", self.hash.to_string())
            .with("head_at", self.head_at.map(|time| time.to_string()));
        let check = &Digest::of(&object.to_canonical()).to_string()[..16];
        let mut line = object.with("check", check).to_canonical();
        line.resize(LENGTH - 1, b' ');
        line.push(b'\n');
        line
    }
}

impl Note {
    pub(super) fn open(folder: &Path) -> Result<Self, AuditError> {
        let path = path(folder);
        let file = super::folder::open_file(&path, OpenOptions::new().write(true).create(true).mode(0o600));
        Ok(Self { file: file.map_err(|e| AuditError::io(&path, &e))? })
    }

    /// Best effort: what is not noted here is only not missed.
    pub(super) fn write(&self, standing: &Standing) {
        let _ = self.file.write_all_at(&standing.line(), 0);
    }
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("end")
}
