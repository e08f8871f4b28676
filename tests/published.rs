//! The drop-in commands: what they print and how they end, to the byte (section 9). The real binary, in a folder and
//! an environment of its own. `ci/interop` compares the same with the published package itself.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

#[path = "support/custody.rs"]
mod custody;
#[path = "published/drain.rs"]
mod drain;
#[path = "published/enqueue.rs"]
mod enqueue;
#[path = "published/home.rs"]
mod home;
#[path = "published/keys.rs"]
mod keys;
#[path = "published/moving.rs"]
mod moving;
#[path = "support/sandbox.rs"]
mod support;
#[path = "published/witness.rs"]
mod witness;
