use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use super::AuditError;

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
            Ok(()) => as_its_folder(&self.path),
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
        let file = open(&path).map_err(|e| AuditError::io(&path, &e))?;
        let since = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Turn { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < PATIENCE => thread::sleep(STEP),
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(AuditError::Busy(self.path.clone())),
                Err(e) => return Err(AuditError::io(&path, &e.into())),
            }
        }
    }

    /// Makes an empty file of this number, or takes the one that a crash left there.
    pub(super) fn make(&self, number: u32) -> Result<PathBuf, AuditError> {
        let path = self.file(number);
        let made = open(&path).and_then(|file| file.sync_all()).and_then(|()| self.sync());
        made.map_err(|e| AuditError::io(&path, &e))?;
        Ok(path)
    }

    /// Makes an empty file beside the others, to be moved to its place.
    pub(super) fn make_draft(&self) -> Result<PathBuf, AuditError> {
        let path = self.path.join("00000001.draft");
        open(&path).map_err(|e| AuditError::io(&path, &e))?;
        Ok(path)
    }

    /// The name of the log, where one was begun here.
    pub(super) fn log_id(&self) -> Result<Option<String>, AuditError> {
        let path = self.id_file();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(AuditError::io(&path, &e)),
        }
    }

    /// Notes that a log was begun, so that one that is gone is missed.
    pub(super) fn note_log_id(&self, log_id: &str) -> Result<(), AuditError> {
        let (path, draft) = (self.id_file(), self.path.join("log-id.draft"));
        let written = open(&draft).and_then(|mut file| {
            file.set_len(0)?;
            writeln!(file, "{log_id}")?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(beside.unwrap_or(Path::new(".")))?.sync_all()
        });
        written.map_err(|e| AuditError::io(&path, &e))
    }

    /// Beside the folder and not in it: a folder that is gone as a whole is missed too.
    pub(super) fn id_file(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".id");
        path.into()
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
/// to: the service must be able to go on writing.
pub(super) fn open_file(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let is_new = !path.exists();
    let file = options.open(path)?;
    if is_new {
        as_its_folder(path)?;
    }
    Ok(file)
}

/// Gives what root made to whom the folder around it belongs to.
fn as_its_folder(path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let around = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let around = fs::metadata(around)?;
    std::os::unix::fs::chown(path, Some(around.uid()), Some(around.gid()))
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".jsonl")?;
    if digits.len() == 8 && digits.bytes().all(|c| c.is_ascii_digit()) { digits.parse().ok() } else { None }
}
