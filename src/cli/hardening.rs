use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// Keeps secrets in this process: no core dump, no reading of its memory by others of the same user, and no new file
/// that others may read. Best effort, for a kernel that refuses takes nothing away.
pub(super) fn apply() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    umask(Mode::from_bits_truncate(0o077));
}
