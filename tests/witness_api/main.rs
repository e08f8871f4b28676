//! The witness's API: a server in this process over the local socket and over mTLS, and the real service.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../ingest/client.rs"]
#[allow(dead_code)] // the producers' API uses the rest
mod client;
#[path = "../support/custody.rs"]
mod custody;
#[path = "../support/sandbox.rs"]
mod support;
#[path = "../cli/vault.rs"]
#[allow(dead_code)] // the tests of other commands use the rest
mod vault;
#[path = "../support/witness.rs"]
mod witness;

#[path = "../daemon/service.rs"]
#[allow(dead_code)] // the service's own tests use the rest
mod service;

mod callers;
mod limits;
mod mutual;
mod openapi;
mod race;
mod real;
mod server;
mod statuses;
mod vectors;
