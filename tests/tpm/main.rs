//! What was measured on TPMs and must hold of ours: the real binary, and custody as the binary uses it, over real
//! swtpms, with tpm2-tools as the adversary.

#![cfg(feature = "tpm")]
#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "../support/sandbox.rs"]
mod sandbox;
#[path = "../support/swtpm.rs"]
mod swtpm;
#[path = "../support/tpm_proxy.rs"]
mod tpm_proxy;

mod adversary;
mod anchor;
mod application;
mod bus;
mod epochs;
mod firmware;
mod formats;
mod hygiene;
mod identity;
mod lockout;
mod place;
mod policies;
mod process;
mod recovery;
mod reseal;
mod retries;
mod witness;
