//! The spool when the power goes, when the disk fails, and when bits of it are not what was written.
//!
//! SQLite writes through a VFS of the test, which knows what was synced and what was not. From its log come the disks
//! that a crash may leave; the spool is opened on each of them and asked for all that it ever answered for.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // counts for whoever reads the run; helpers of tests

mod damage;
mod disk;
mod errors;
mod fate;
mod oracle;
mod place;
mod power;
mod random;
mod restart;
mod vfs;
mod work;
