use std::path::Path;

use super::AuditError;
use super::folder::{Folder, LogFile};

/// The files of the log in a folder, in order. None where there is no log, and none where there is no folder. Blocking.
pub fn files(folder: &Path) -> Result<Vec<LogFile>, AuditError> {
    match folder.try_exists() {
        Ok(false) => Ok(Vec::new()),
        Ok(true) => Folder::new(folder).files(),
        Err(e) => Err(AuditError::io(folder, &e)),
    }
}

/// Which log was begun in a folder last, by the note beside that; it stays where the folder is gone. Blocking.
pub fn begun(folder: &Path) -> Result<Option<String>, AuditError> {
    Folder::new(folder).log_id()
}
