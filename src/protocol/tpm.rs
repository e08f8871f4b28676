//! What a TPM signs about itself, read and verified without one (TCG TPM 2.0 Library, Part 2: Structures).
//!
//! Only what a quote and a certification are made of, SHA-256 throughout. Every reader takes any bytes.

mod attest;
mod certification;
mod error;
mod kind;
mod pcr;
mod public;
mod quote;
mod reader;
mod signature;

pub use attest::{Attest, Attested, ClockInfo, PcrBanks};
pub use certification::Certification;
pub use error::TpmError;
pub use kind::TpmKind;
pub use pcr::{GoldenError, PcrSelection, PcrValues, SelectionError};
pub use public::{Attributes, KeyBits, Public};
pub use quote::{Quote, Quoted};
pub use signature::{Scheme, TpmSignature};

/// TPM_ALG_SHA256, the only hash that is known here.
const SHA256: u16 = 0x000B;
/// TPM_ALG_NULL.
const NULL: u16 = 0x0010;
