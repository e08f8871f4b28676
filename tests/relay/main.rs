//! The relay against a sandbox receiver in a process of its own: through the library with a clock that the test
//! moves, and through the real binary where processes matter.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/custody.rs"]
mod custody;
#[path = "../transport/receiver.rs"]
#[allow(dead_code)] // the transport's tests use the rest
mod receiver;
#[path = "../support/sandbox.rs"]
mod support;

mod ahead;
mod broken;
mod commands;
mod delivery;
mod drain_loop;
mod faults;
mod feed;
mod kill;
mod memory;
mod modes;
mod outage;
mod outbox;
mod place;
mod power;
mod process;
mod restored;
mod revocation;
mod revoke_local;
mod secrets;
mod soak;
mod two_relays;
