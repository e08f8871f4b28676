//! Custody in a TPM 2.0.
//!
//! A P-256 key is resident: it signs in the TPM and never leaves. **A TPM cannot sign Ed25519**, so that such a key is
//! a seed sealed under a policy, released to locked memory while it is used. Each sealed secret and each epoch has one
//! half in an NV index, so that it can be destroyed in the device.
//!
//! Every object is a child of one parent key without dictionary-attack protection, whose Name is pinned. Policies are
//! the operator's: PCR values that the policy key signed (TPM2_PolicyAuthorize), so that an update needs a file and no
//! new key.
//!
//! Sources: TCG TPM 2.0 Library (Parts 1 to 3), by the section named where it matters.

mod admin;
mod anchor;
mod approved;
mod config;
mod durable;
mod event_log;
mod facts;
mod fault;
mod firmware_log;
mod key_file;
mod link;
mod maker;
mod measure;
mod memory;
mod mismatch;
mod nv;
mod nv_index;
mod object_policy;
mod parent;
mod pcr;
mod policy;
mod policy_folder;
mod policy_key;
mod policy_state;
mod quote;
mod recovery;
mod released;
mod reseal;
mod resident;
mod sealed;
mod sealed_file;
mod secrets;
mod session;
mod sign_policy;
mod signed_policy;
mod tcti;
mod trial;
mod turn;
mod worker;
mod wrapping;

pub use anchor::TpmAnchor;
pub use config::{Parent, TpmConfig, USUAL_PCRS};
pub use facts::{Lockout, TpmFacts};
pub use maker::Maker;
pub use policy_key::PolicyKey;
pub use policy_state::{PolicyState, SealedKind, SealedState};
pub use quote::{QuoteAlgorithm, TpmQuoter};
pub use recovery::RecoveryKey;
pub use released::ReleasedKey;
pub use resident::ResidentKey;
pub use sign_policy::Predicted;
pub use signed_policy::SignedPolicy;
pub use tcti::Tcti;
pub use trial::Trial;
pub use worker::Tpm;
pub use wrapping::TpmWrappingKey;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CustodyError, ErrorKind};

const BACKEND: &str = "tpm";

fn error(
    kind: ErrorKind,
    operation: &'static str,
    message: impl Into<String>,
    advice: impl Into<String>,
) -> CustodyError {
    CustodyError::new(kind, BACKEND, operation, message, advice)
}

/// Random bytes of the kernel. The TPM's own are not needed for them, and pass over the bus.
fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CustodyError> {
    let mut bytes = Zeroizing::new([0; N]);
    let no_luck = |_| error(ErrorKind::Broken, "random", "the kernel gave no randomness", "Start again later.");
    getrandom::fill(bytes.as_mut()).map_err(no_luck)?;
    Ok(bytes)
}

/// A key for one use, from a secret.
fn derive(secret: &[u8], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // HKDF gives up to 255 hashes; one was asked for.
    Hkdf::<Sha256>::new(None, secret).expand(label, key.as_mut()).expect("32 bytes from HKDF-SHA256");
    key
}
