//! The command line as an operator meets it: the real binaries, with nothing in their environment but a home.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/exposition.rs"]
mod exposition;
#[path = "../support/sandbox.rs"]
mod support;

mod attest;
mod audit;
mod bad_input;
mod bad_spool;
mod config;
mod custody;
mod disk_full;
mod enqueue;
mod log;
mod metrics;
mod process;
mod quorum;
mod receipts;
mod secrets;
mod shell;
mod small_disk;
mod spool;
mod terminal;
mod vault;
mod verify;
mod witness;
