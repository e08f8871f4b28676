//! The published package's commands: flags, standard output and exit codes are a contract (section 9).

pub(super) mod drain;
pub(super) mod enqueue;
mod integer;
pub(super) mod keys;
pub(super) mod witness;
