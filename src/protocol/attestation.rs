//! The custody attestation record (section 7): what a vault says of the device that holds its relay key.
//!
//! A record is signed with the relay key. That alone is the vault's word; a quote in it ties the word to a TPM.

mod assurance;
mod evidence;
mod holder;
mod measurement;
mod record;
mod signed;

pub use assurance::Assurance;
pub use evidence::{CertifiedKey, Evidence};
pub use holder::{Holder, SealedIdentity, TokenIdentity};
pub use measurement::Measurement;
pub use record::Record;
pub use signed::{AttestationError, SignedRecord, Verified};

/// Which facts a measurement has, and what they are about.
const POLICY: &str = "attesto-measurement-policy-v1";
