//! One SQLite file: how it is made, opened and written. What lies in it belongs to the rooms above.
//!
//! WAL with `synchronous=FULL`: what was answered is on the disk. Any error of a commit but "full" and "busy" stops
//! the writer for good, because a commit that failed may still have happened.

mod doubt;
mod error;
mod lock;
mod metrics;
mod open;
mod path;
mod schema;
mod snapshot;
mod writer;

pub use error::StoreError;
pub use lock::RoleLock;
pub use metrics::COMMIT_SECONDS;
pub use open::{Access, FileKind, file_kind, open, step_through, tidy};
pub use schema::Schema;
pub use snapshot::{Snapshot, Stamp};
pub use writer::Writer;
