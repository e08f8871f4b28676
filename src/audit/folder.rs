use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown, lchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::AuditError;
use crate::facts::{folder_of, with_suffix};

/// The folder of a log: numbered files, a lock, and the name of the log.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// One file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its number, from 1.
    pub number: u32,
    /// Where it is.
    pub path: PathBuf,
}

/// The right to append, one process at a time. Ends with the value, and with the process.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

/// How long another process may take for its turn. It writes a batch and may wait for a slow disk.
const PATIENCE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(1);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the folder itself, where it is not there. Whatever is above it must be: a missing disk is not made up for.
    pub(super) fn make_folder(&self) -> Result<(), AuditError> {
        let made = match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => give(&self.path, |uid, gid| lchown(&self.path, uid, gid)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
        };
        made.map_err(|e| AuditError::io(&self.path, &e))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of this number.
    pub(super) fn file(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number:08}.jsonl"))
    }

    /// The files in order.
    pub(super) fn files(&self) -> Result<Vec<LogFile>, AuditError> {
        let mut files = Vec::new();
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(|e| AuditError::io(&self.path, &e))? {
            if let Some(number) = entry.file_name().to_str().and_then(number) {
                files.push(LogFile { number, path: entry.path() });
            }
        }
        files.sort_by_key(|file| file.number);
        Ok(files)
    }

    /// Waits for the turn to append. Blocks, but not for ever.
    pub(super) fn turn(&self) -> Result<Turn, AuditError> {
        let path = self.path.join("lock");
        let since = Instant::now();
        loop {
            let file = open(&path).map_err(|e| AuditError::missing(&self.path, &e))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A lock on a file that was deleted meanwhile keeps nobody away.
                Ok(()) if is_at(&file, &path) => return Ok(Turn { _file: file }),
                Ok(()) | Err(Errno::WOULDBLOCK) if since.elapsed() < PATIENCE => thread::sleep(STEP),
                Ok(()) | Err(Errno::WOULDBLOCK) => return Err(AuditError::Busy(self.path.clone())),
                Err(e) => return Err(AuditError::io(&path, &e.into())),
            }
        }
    }

    /// Makes an empty file of this number, or takes the one that a crash left there.
    pub(super) fn make(&self, number: u32) -> Result<(), AuditError> {
        let path = self.file(number);
        let made = open(&path).and_then(|file| {
            file.sync_all()?;
            self.sync()?;
            Ok(file.metadata()?.len())
        });
        match made.map_err(|e| AuditError::io(&path, &e))? {
            0 => Ok(()),
            _ => Err(AuditError::damaged(&path, "it is there already, and nothing leads to it")),
        }
    }

    /// Makes an empty file beside the others, to be moved to its place.
    pub(super) fn make_draft(&self) -> io::Result<(File, PathBuf)> {
        let path = self.path.join("00000001.draft");
        let file = open(&path)?;
        file.set_len(0)?;
        Ok((file, path))
    }

    /// The name of the log, where one was begun here.
    pub(super) fn log_id(&self) -> Result<Option<String>, AuditError> {
        let path = self.id_file();
        let read = File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            // A name has 36 bytes.
            file.take(1024).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
            Ok(text) => Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(AuditError::io(&path, &e)),
        }
    }

    /// Notes that a log was begun, so that one that is gone is missed.
    pub(super) fn note_log_id(&self, log_id: &str) -> Result<(), AuditError> {
        // Beside its place: the folder may be a file system of its own.
        let path = self.id_file();
        let draft = with_suffix(&path, ".draft");
        let written = open(&draft).and_then(|mut file| {
            file.set_len(0)?;
            writeln!(file, "{log_id}")?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(folder_of(&path))?.sync_all()
        });
        written.map_err(|e| AuditError::io(&path, &e))
    }

    /// Beside the folder and not in it: a folder that is gone as a whole is missed too.
    pub(super) fn id_file(&self) -> PathBuf {
        with_suffix(&self.path, ".id")
    }

    /// What was made or renamed in the folder is on the disk from now on.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Opens or makes a file that is read and appended to.
fn open(path: &Path) -> io::Result<File> {
    open_file(path, OpenOptions::new().create(true).append(true).read(true).mode(0o600))
}

/// Opens or makes a file that its owner alone may read. An operator who is root makes it for whom the folder belongs
/// to: the service must be able to go on writing. No link is followed: whoever the folder belongs to could lead root
/// anywhere with one.
pub(super) fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let is_new = fs::symlink_metadata(path).is_err();
    let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
    if is_new {
        give(path, |uid, gid| fchown(&file, uid, gid))?;
    }
    Ok(file)
}

/// Whether this file is the one at a path.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let name = |meta: fs::Metadata| (meta.dev(), meta.ino());
    file.metadata().and_then(|here| Ok(name(here) == name(fs::symlink_metadata(path)?))).unwrap_or(false)
}

/// The number of the first file that should lie among these and does not.
pub(super) fn gap(files: &[LogFile]) -> Option<u32> {
    let first = files.first()?.number;
    files.iter().zip(first..).find(|(file, number)| file.number != *number).map(|(_, number)| number)
}

/// Gives what root made to whom the folder around it belongs to.
fn give(path: &Path, chown: impl FnOnce(Option<u32>, Option<u32>) -> io::Result<()>) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let around = fs::metadata(folder_of(path))?;
    chown(Some(around.uid()), Some(around.gid()))
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".jsonl")?;
    if digits.len() == 8 && digits.bytes().all(|c| c.is_ascii_digit()) { digits.parse().ok() } else { None }
}
