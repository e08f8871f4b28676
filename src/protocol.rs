//! Bytes on the wire: pure functions, with no I/O, no clock, no randomness and no keys.
//!
//! The contracts are written down in `docs/protocol.md`; section numbers in this room's comments are its.

pub mod ack;
pub mod attestation;
pub mod audit;
pub mod bundle;
pub mod envelope;
pub mod epoch_record;
pub mod gap;
pub mod json;
pub mod quorum;
pub mod source;
pub mod tpm;
pub mod witness;

mod domain;
mod member;
mod signature;

pub use domain::{Domain, Preimage};
pub use member::MemberError;
pub use signature::{Algorithm, InvalidSignature, KeyError, PublicKey, Signature};
