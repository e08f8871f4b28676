use super::incident::Incident;
use crate::custody::{CustodyError, SignError};
use crate::protocol::witness::{Refusal, SubmissionError};
use crate::store::StoreError;

/// Why a witness does not answer, by what the caller does about it. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// A change that an operator asked for does not fit what is there. Nothing changed.
    #[error("{0}")]
    Change(String),
    /// The anchor, or the device that opens the state, refused or is away. What was decided is kept; the same
    /// checkpoint again is answered once it is back.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// What was written down is not as it was written. Nothing more is signed on such a state.
    #[error("the witness database was changed: {0}")]
    Damaged(&'static str),
    /// Nothing is signed until an operator has looked.
    #[error("{0}")]
    Incident(Box<Incident>),
    /// The kernel gave no randomness.
    #[error("the kernel gave no randomness")]
    NoRandomness,
    /// The state is sealed, and no key that opens it is configured.
    #[error("the witness database is sealed, and no wrapping key is configured")]
    NoWrappingKey,
    /// The state, or a statement that a crash interrupted, names a key that is not here.
    #[error("the witness signs with the key {0}, which is not configured")]
    OtherKey(String),
    /// Another process wrote to the file. To be opened again.
    #[error("another process wrote to the witness database")]
    Raced,
    /// The submission is not decided about.
    #[error(transparent)]
    Refused(Refusal),
    /// The signing key failed. What was decided is kept; the same checkpoint again gets its signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// An incident stopped it, and nobody has allowed it to go on.
    #[error("the witness was stopped: {0}")]
    Stopped(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The submission is malformed. Nothing changed.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The state was made without a wrapping key, and one is configured.
    #[error("the witness database is not authenticated, and a wrapping key is configured")]
    Unauthenticated,
}

impl From<rusqlite::Error> for WitnessError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
