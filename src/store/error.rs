use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store does not answer, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process held the file for too long, or holds the role. Try again.
    #[error("{} is in use by another process", .0.display())]
    Busy(PathBuf),
    /// The file is damaged. Nothing was changed.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The file is something else: another program's, or no database at all. It is never opened as empty.
    #[error("{} is not a {expected} of local-vault", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: &'static str,
    },
    /// No room on the disk. What was asked for did not happen; make room and try again.
    #[error("the disk is full")]
    Full,
    /// The disk or the file system failed. **The process must stop**: what was being written may or may not be there.
    #[error("the disk failed: {0}")]
    Io(String),
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A later version of local-vault wrote the file.
    #[error("{} was written by a later version of local-vault", .0.display())]
    Newer(PathBuf),
    /// A statement failed for a reason that only a defect explains.
    #[error("a statement failed: {0}")]
    Sql(String),
    /// The writer stopped after an earlier error.
    #[error("the store has stopped after an earlier error")]
    Stopped,
}

impl StoreError {
    /// Whether the store goes on: the transaction did not happen, and nothing else is in doubt.
    pub const fn is_clean(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Full)
    }

    /// Sorts an error of SQLite. `path` is the file it came from.
    pub(super) fn sort(error: &rusqlite::Error, path: &Path) -> Self {
        use rusqlite::Error as E;
        let text = || error.to_string();
        // A column that holds another type than we ever write.
        if matches!(
            error,
            E::FromSqlConversionFailure(..)
                | E::IntegralValueOutOfRange(..)
                | E::InvalidColumnType(..)
                | E::Utf8Error(..)
        ) {
            return Self::Damaged(text());
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(path.to_owned()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(text()),
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Io(text()),
            _ => Self::Sql(text()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::sort(&error, Path::new("the database"))
    }
}
