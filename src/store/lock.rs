use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::facts::with_suffix;

/// A role that one process at a time may have on a store, such as relaying. Ends with the value, and with the
/// process, however that ends.
#[derive(Debug)]
pub struct RoleLock {
    file: File,
}

impl RoleLock {
    /// Takes the role at once, or fails with [`StoreError::Busy`].
    pub fn take(store: &Path, role: &str) -> Result<Self, StoreError> {
        Self::lock(store, role, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes the role, waiting for whoever has it. Blocks.
    pub(super) fn wait(store: &Path, role: &str) -> Result<Self, StoreError> {
        Self::lock(store, role, FlockOperation::LockExclusive)
    }

    /// Whether any process ever took the role.
    pub(super) fn was_taken(store: &Path, role: &str) -> bool {
        lock_path(store, role).exists()
    }

    fn lock(store: &Path, role: &str, operation: FlockOperation) -> Result<Self, StoreError> {
        let path = lock_path(store, role);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|e| StoreError::Io(format!("{}: {e}", path.display())))?;
        match flock(&file, operation) {
            Ok(()) => Ok(Self { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy(store.to_owned())),
            Err(e) => Err(StoreError::Io(format!("{}: {e}", path.display()))),
        }
    }
}

impl Drop for RoleLock {
    /// Closing the file is not enough: a child that another thread is just starting has it open until it executes.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Beside the file itself: through a link it would be another role.
fn lock_path(store: &Path, role: &str) -> PathBuf {
    let real = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
    with_suffix(&real, &format!(".{role}-lock"))
}
