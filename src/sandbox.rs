//! A receiver for tests, demos and development: it checks what it is sent as the platform would, and misbehaves when
//! it is told to.
//!
//! It has a binary of its own, so that the production binary cannot forge receipts, and marks each of its receipts
//! as the sandbox's. What it holds is gone when it ends.

mod attestations;
mod behaviour;
mod body;
mod checkpoints;
mod control;
mod enroll;
mod events;
mod feed;
mod misbehave;
mod ready;
mod receipt;
mod record;
mod reply;
mod router;
mod server;
mod state;
mod tls;
mod trust;

pub use behaviour::{Mode, Step, StepError};
pub use server::{Config, Sandbox, StartError};
pub use trust::{Trust, TrustError};
