//! The sandbox receiver as a client sees it: the real binary, over its own TLS.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/sandbox.rs"]
mod support;

mod enroll;
mod events;
mod feed;
mod modes;
mod process;
mod statements;
mod vault;
