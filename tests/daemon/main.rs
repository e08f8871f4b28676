//! The service as its operator, its producers and systemd meet it: the real binary, a socket, signals, a receiver.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../ingest/client.rs"]
#[allow(dead_code)] // the API's own tests use the rest
mod client;
#[path = "../cli/small_disk.rs"]
#[allow(dead_code)] // the tests of other commands use the rest
mod small_disk;
#[path = "../support/sandbox.rs"]
mod support;
#[path = "../cli/vault.rs"]
#[allow(dead_code)] // the tests of other commands use the rest
mod vault;

#[path = "../support/witness.rs"]
mod witness;

#[cfg(feature = "pkcs11")]
#[path = "../token/place.rs"]
#[allow(dead_code)] // the tokens' own tests use the rest
mod place;
#[cfg(feature = "pkcs11")]
use support as sandbox;
#[cfg(feature = "pkcs11")]
#[path = "../support/softhsm.rs"]
mod softhsm;

mod bundle;
mod disk;
mod end;
mod follow;
mod notify;
mod reload;
mod serve;
mod service;
mod states;
#[cfg(feature = "pkcs11")]
mod token;
mod unit;
