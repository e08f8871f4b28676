//! Files that are there as a whole or not at all, also after power is lost.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error;
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::folder_of;

/// No file of ours is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Writes a file that is not there yet. One that is there stays as it is, and is an error of the kind `Refused`.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), CustodyError> {
    let new = write_beside(path, content).map_err(|e| failed("write", path, &e))?;
    // Not every file system has links, nor every one this flag; each takes a name only where it is free.
    let made = renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE).or_else(|e| match e {
        Errno::INVAL | Errno::NOSYS => rustix::fs::link(&new, path),
        e => Err(e),
    });
    let _ = fs::remove_file(&new);
    match made.map_err(io::Error::from) {
        Ok(()) => sync_folder(path).map_err(|e| failed("write", path, &e)),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(taken(path)),
        Err(e) => Err(failed("write", path, &e)),
    }
}

/// Writes a file in place of the one that is there.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), CustodyError> {
    let replace = || {
        let new = write_beside(path, content)?;
        fs::rename(&new, path)?;
        sync_folder(path)
    };
    replace().map_err(|e| failed("write", path, &e))
}

/// The paths of what lies in a folder, in order; nothing where there is no folder.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, CustodyError> {
    let listed = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()),
    };
    let mut paths = listed.map_err(|e| failed("read", folder, &e))?;
    paths.sort();
    Ok(paths)
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CustodyError> {
    let read = || -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| failed("read", path, &e))
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> Result<(), CustodyError> {
    let removed = fs::remove_file(path).and_then(|()| sync_folder(path));
    removed.map_err(|e| failed("remove", path, &e))
}

/// Makes a folder that only its owner reads, where there is none.
pub(super) fn make_folder(path: &Path) -> Result<(), CustodyError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| failed("make", path, &e))
}

/// Waits until nobody else changes what is in the folder, and keeps others from it until this is dropped. The folder is
/// made where there is none. Blocks.
///
/// A file in the folder is locked: who has the folder itself has the TPM, where no resource manager shares it out.
pub(super) fn lock_folder(path: &Path) -> Result<File, CustodyError> {
    make_folder(path)?;
    let lock = path.join("changes.lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let locked = rustix::fs::open(&lock, flags, Mode::RUSR | Mode::WUSR).and_then(|file| {
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(File::from(file))
    });
    locked.map_err(|e| failed("lock", &lock, &e.into()))
}

/// What is there already is never overwritten.
pub(super) fn taken(path: &Path) -> CustodyError {
    let message = format!("{} is there already", path.display());
    error(ErrorKind::Refused, "write", message, "Nothing was overwritten. Choose another name, or move it away.")
}

pub(super) fn failed(what: &'static str, path: &Path, why: &io::Error) -> CustodyError {
    let (kind, advice) = match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::DiskFull, "Make room on the disk."),
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "Check the path. Nothing was made anew."),
        io::ErrorKind::PermissionDenied => (ErrorKind::Misconfigured, "Let this user reach it."),
        _ if why.raw_os_error() == Some(Errno::ISDIR.raw_os_error()) => (ErrorKind::Misconfigured, "It is a folder."),
        _ => (ErrorKind::Disk, "Check the disk."),
    };
    error(kind, what, format!("cannot {what} {}: {why}", path.display()), advice)
}

fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(&new, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // On a full disk it would take the last of what is left.
        let _ = fs::remove_file(&new);
    }
    written.map(|()| new)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
