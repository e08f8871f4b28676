//! The audit log (section 12), ours: a line an entry, each bound to the one before it by its hash, and signed heads.

mod head;
mod line;

pub use head::{Head, SignedHead};
pub use line::{Entry, LONGEST_LINE, LineError, START, entry_hash, write_line};
