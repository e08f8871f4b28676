use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why an entry is not in the log, by what the caller does about it. What asked for it must not happen (I9).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Another process held the log for too long. Try again.
    #[error("the audit log {} is held by another process", .0.display())]
    Busy(PathBuf),
    /// What lies there is not what was written: somebody changed it, or the disk did. Nothing is appended to it, until
    /// an operator has looked.
    #[error("the audit log {}: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No room on the disk. What was written is whole; make room and try again.
    #[error("no room for the audit log {}", .0.display())]
    Full(PathBuf),
    /// The disk or the file system failed, or access was refused. Nothing says that anybody changed anything.
    #[error("the audit log {}: {what}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// The log was closed; the process is ending.
    #[error("the audit log was closed")]
    Closed,
}

impl AuditError {
    /// Sorts what the system said.
    pub(super) fn io(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        let path = path.into();
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full(path),
            // No file of a log is opened through a link.
            Some(Errno::LOOP) => Self::damaged(path, "a link was put in its place"),
            _ => Self::Io { path, what: error.to_string() },
        }
    }

    /// The same for what was there before: that it is gone is nothing that a disk does.
    pub(super) fn missing(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::damaged(path, "it is gone"),
            _ => Self::io(path, error),
        }
    }

    pub(super) fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }

    /// Whether the same call may do better later, in this process.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Full(_))
    }
}
