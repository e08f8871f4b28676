//! Every state in which a PKCS#11 token is of no use, and what an operator is told of it: the real binary over real
//! SoftHSM tokens, through a module that fails when it is told to.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/exposition.rs"]
mod exposition;
#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/softhsm.rs"]
mod softhsm;

mod attributes;
mod away;
mod find;
mod floor;
mod generate;
mod metrics;
mod module;
mod pin;
mod pin_source;
mod place;
mod published;
mod secrets;
mod signing;
