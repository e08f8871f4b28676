//! Evidence: the records of the published package, the quotes in them, and the commands that make and check our own.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../token/place.rs"]
#[allow(dead_code)] // a part of it is for other tests
mod place;
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/softhsm.rs"]
mod softhsm;
#[path = "../support/swtpm.rs"]
mod swtpm;

mod commands;
mod custody;
mod live;
mod minimum;
mod published;
#[cfg(feature = "tpm")]
mod quoted;
mod quotes;
#[cfg(feature = "tpm")]
mod sealed;
mod vectors;
mod verify;
