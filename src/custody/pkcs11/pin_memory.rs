use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::error;
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::folder_of;
use crate::protocol::json::{self, Object, Value};

/// What is remembered of a token's PIN, in a file, for whichever process comes next. Held by one process at a time,
/// so that ten that start together use one try.
#[derive(Debug)]
pub(super) struct PinMemory {
    path: PathBuf,
    /// Locked for as long as this lives.
    lock: File,
}

/// What is remembered. Nothing is, where all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remembered {
    /// An operator allows one try, whatever was before.
    Allowed,
    /// The token refused the PINs of these sources since it last took one; the newest is last. What a person typed is
    /// not among them.
    Refused { sources: Vec<String> },
    /// So many processes in a row tried, and ended before they could say what came of it.
    Trying { times: u32 },
}

/// More are not remembered, so that the file does not grow.
const MOST_SOURCES: usize = 16;

/// Longer than what is written here, in bytes.
const LONGEST: u64 = 256 * 1024;

impl Remembered {
    /// What is to be remembered after a refusal. Two configurations that take turns must not each forget the other's.
    pub(super) fn refused(before: Option<Self>, source: Option<String>) -> Self {
        let mut sources = match before {
            Some(Self::Refused { sources }) => sources,
            _ => Vec::new(),
        };
        sources.retain(|known| Some(known) != source.as_ref());
        sources.extend(source);
        sources.drain(..sources.len().saturating_sub(MOST_SOURCES));
        Self::Refused { sources }
    }
}

impl PinMemory {
    /// Opens the memory of the token with this serial number, and waits until no other process has it.
    pub(super) fn open(folder: &Path, serial: &str) -> Result<Self, CustodyError> {
        // Whatever a maker puts into a serial number, it is a file name.
        let plain = serial.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') && !serial.is_empty();
        let name = if plain { serial.to_owned() } else { format!("x{}", hex::encode(serial)) };
        let path = folder.join(format!("pkcs11-pin-{name}.json"));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = || -> io::Result<File> {
            let lock = rustix::fs::open(path.with_extension("lock"), flags, Mode::RUSR | Mode::WUSR)?;
            flock(&lock, FlockOperation::LockExclusive)?;
            Ok(lock.into())
        };
        match open() {
            Ok(lock) => Ok(Self { path, lock }),
            Err(e) => Err(unwritable(&path, &e)),
        }
    }

    /// What is remembered. A file that does not read says that something was tried.
    pub(super) fn read(&self) -> Result<Option<Remembered>, CustodyError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let read = || -> io::Result<Vec<u8>> {
            let file = File::from(rustix::fs::open(&self.path, flags, Mode::empty())?);
            let mut text = Vec::new();
            file.take(LONGEST).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = match read() {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unwritable(&self.path, &e)),
        };
        let object = json::parse(&text).unwrap_or_default();
        Ok(Some(match object.get_str("pin") {
            Some("allowed") => Remembered::Allowed,
            Some("refused") => {
                let listed = object.get("sources").and_then(Value::as_array).unwrap_or_default();
                let sources = listed.iter().filter_map(|source| source.as_str().map(str::to_owned)).collect();
                Remembered::Refused { sources }
            }
            _ => {
                let times = object.get("times").and_then(Value::as_i64).and_then(|times| times.try_into().ok());
                Remembered::Trying { times: times.unwrap_or(1) }
            }
        }))
    }

    /// Remembers this; it is on the disk when this returns.
    pub(super) fn write(&self, what: &Remembered) -> Result<(), CustodyError> {
        let object = match what {
            Remembered::Allowed => Object::new().with("pin", "allowed"),
            Remembered::Refused { sources } => {
                let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
                Object::new().with("pin", "refused").with("sources", sources)
            }
            Remembered::Trying { times } => Object::new().with("pin", "trying").with("times", *times),
        };
        let new = self.path.with_extension("new");
        let write = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mut file = File::from(rustix::fs::open(&new, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(&object.to_canonical())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.sync_folder()
        };
        write().map_err(|e| unwritable(&self.path, &e))
    }

    /// Forgets: the token has taken the PIN.
    pub(super) fn forget(&self) -> Result<(), CustodyError> {
        let forget = || -> io::Result<()> {
            fs::remove_file(&self.path)?;
            self.sync_folder()
        };
        forget().map_err(|e| unwritable(&self.path, &e))
    }

    /// Puts back what was remembered before a try that was none.
    pub(super) fn restore(&self, before: Option<&Remembered>) -> Result<(), CustodyError> {
        match before {
            Some(before) => self.write(before),
            None => self.forget(),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(folder_of(&self.path))?.sync_all()
    }
}

impl Drop for PinMemory {
    /// Closing the file is not enough: a child that another thread is just starting has it open until it executes.
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// A try that cannot be remembered is not made.
fn unwritable(path: &Path, why: &io::Error) -> CustodyError {
    let (kind, mend) = match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::DiskFull, "Make room on the disk."),
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => (ErrorKind::Misconfigured, "Make it writable."),
        // A folder or a link in its place.
        _ if [Errno::ISDIR, Errno::LOOP].iter().any(|e| why.raw_os_error() == Some(e.raw_os_error())) => {
            (ErrorKind::Misconfigured, "It is no file: remove it.")
        }
        _ => (ErrorKind::Disk, "Check the disk."),
    };
    let message = format!("cannot keep {}: {why}", path.display());
    let advice = format!("It remembers a refused PIN, so that it is not tried again; without it none is tried. {mend}");
    error(kind, "pin", message, advice)
}
