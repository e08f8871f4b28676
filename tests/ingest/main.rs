//! The local API: a server in this process over a spool of its own, and clients over its socket; some of them as
//! another user, which only root can start.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/custody.rs"]
mod custody;

mod allow_list;
mod attested;
mod batch;
mod client;
mod docs;
mod events;
mod fuzz;
mod openapi;
mod server;
mod socket;
