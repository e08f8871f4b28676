//! Whose turn it is, among the processes of one box, where no resource manager stands between them and the TPM.
//!
//! A simulator does not keep them apart: tpm2-tss connects to swtpm for each command anew. Two processes would then
//! flush what the other has loaded, and take its place. A device without a manager would be taken, and busy.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::{Errno, retry_on_intr};

use super::durable;
use crate::custody::CustodyError;

/// Ours until it is dropped, however the process ends.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, and never looked at")] File);

impl Turn {
    /// Waits, without end, until nobody else with this folder has it. Where there is no folder nobody uses the TPM yet.
    pub(super) fn wait(folder: &Path) -> Result<Option<Self>, CustodyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder_file = match open(folder, flags, Mode::empty()) {
            Ok(opened) => File::from(opened),
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(durable::failed("open", folder, &e.into())),
        };
        let locked = retry_on_intr(|| flock(&folder_file, FlockOperation::LockExclusive));
        locked.map_err(|e| durable::failed("lock", folder, &e.into()))?;
        Ok(Some(Self(folder_file)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn it_is_never_the_turn_of_two() {
        let folder = tempfile::tempdir().unwrap();
        let taken = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let turn = Turn::wait(folder.path()).unwrap();
                        assert!(turn.is_some() && !taken.swap(true, Ordering::SeqCst));
                        thread::yield_now();
                        taken.store(false, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn where_there_is_no_folder_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Turn::wait(&folder.path().join("none")).unwrap().is_none());
    }
}
