//! The durable witness: what survives a crash, and what two of them do at once. The contract itself is in
//! `tests/vectors.rs`.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod allowed;
mod contract;
#[path = "../support/custody.rs"]
mod custody;
mod device;
mod devices;
mod follow;
mod import;
mod installed;
mod kill;
mod look_back;
mod peers;
mod place;
mod race;
mod reconcile;
mod rollback;
mod rules;
#[path = "../support/sandbox.rs"]
mod sandbox;
mod sealed;
#[path = "../support/small_disk.rs"]
mod small_disk;
#[cfg(feature = "tpm")]
mod tpm;
#[path = "../support/witness.rs"]
mod witness;
