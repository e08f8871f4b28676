//! The audit log: who asked for what, what keys were used for, what came back, what was refused. Append-only files of
//! one JSON line an entry, each bound by its hash to all before it, with heads signed by the record key.
//!
//! **I9**: what may not happen unrecorded asks for its record first and waits until that is on the disk. [`Audit`] writes,
//! for as many processes as there are; [`verify`] finds what was changed; [`Reader`] looks.

mod begun;
mod check;
mod end;
mod error;
mod event;
mod folder;
mod head;
mod log;
mod maintain;
mod note;
mod place;
mod pruning;
mod reader;
mod recorder;
mod thread;
mod trail;
mod verify;
mod writer;

pub use error::AuditError;
pub use event::{Event, KINDS, Severity, severity};
pub use folder::LogFile;
pub use maintain::{Pruned, Recovered, prunable, prune, recover};
pub use note::Standing;
pub use place::{begun, files};
pub use reader::Reader;
pub use verify::{Finding, KnownHead, Verified, VerifyError, verify};
pub use writer::{Audit, AuditConfig};
