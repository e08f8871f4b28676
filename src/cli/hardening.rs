// Ending a process without the ends of its libraries, and changing its environment, take calls that are not safe.
#![allow(unsafe_code)]

use std::io::Write as _;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// Keeps secrets in this process: no core dump, no reading of its memory by others of the same user, and no new file
/// that others may read. Best effort, for a kernel that refuses takes nothing away.
///
/// The library of TPMs writes each answer that it did not expect to standard error, which is ours: it is told not to,
/// unless somebody asked for it.
pub(super) fn apply() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    umask(Mode::from_bits_truncate(0o077));
    #[cfg(feature = "tpm")]
    if std::env::var_os("TSS2_LOG").is_none() {
        // SAFETY: no other thread has been started yet.
        unsafe { std::env::set_var("TSS2_LOG", "all+NONE") };
    }
}

/// Ends the process at once. A vendor's module takes itself apart when a process ends in the usual way, and crashes
/// where one of our threads is still in it: SoftHSM did so once in a hundred runs, after the work was done. What must
/// last is on the disk by then, as it is after a kill.
pub(super) fn end(code: u8) -> ! {
    // Every line was flushed when it was written; nobody is left to tell where that failed.
    let _ = std::io::stdout().flush();
    // SAFETY: `_exit` takes a number, and does not return.
    unsafe { libc::_exit(code.into()) }
}
