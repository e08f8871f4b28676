use std::fmt;

use super::CustodyError;
use crate::facts::Digest;

/// How far a chain of records had come: what a state is compared with, to see whether it was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// The number of the last record.
    pub count: u64,
    /// The hash that this record and all before it led to.
    pub root: Digest,
}

/// A place where a [`Floor`] only ever rises (I7). What was read from it is as good as what keeps others from writing
/// to it, which [`kind`](Self::kind) tells. Blocking: a device may take a second.
pub trait Anchor: Send + Sync + fmt::Debug {
    /// What it is worth.
    fn kind(&self) -> Result<AnchorKind, CustodyError>;

    /// Where the chain stood; `None` where there is no anchor yet. One that is there and is not ours, or not as it was
    /// written, is an error, and never `None`.
    fn read(&self) -> Result<Option<Floor>, CustodyError>;

    /// Makes it. Refused where there is one.
    fn begin(&self, floor: &Floor) -> Result<(), CustodyError>;

    /// Raises it; after this no smaller count is ever read again. Refused where the count is not larger than what is
    /// there, but for the very same floor. A crash within leaves the one before or this one.
    fn advance(&self, floor: &Floor) -> Result<(), CustodyError>;
}

/// Where the bytes of a floor are kept. Blocking.
pub trait FloorPlace: Send + Sync + fmt::Debug {
    /// What was written last; `None` where nothing was.
    fn read(&self) -> Result<Option<Vec<u8>>, CustodyError>;

    /// Puts new bytes in the place of the old ones. They are durable when this returns; a crash leaves either.
    fn write(&self, bytes: &[u8]) -> Result<(), CustodyError>;
}

/// What an anchor is worth, as relying parties are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorKind {
    /// Whoever can write to the place can set it back.
    Rewritable,
    /// A counter in a TPM.
    Tpm,
    /// A counter in a TPM that the machine below may restore from a copy.
    VirtualTpm,
}

impl AnchorKind {
    /// The name as configuration and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewritable => "rewritable",
            Self::Tpm => "tpm",
            Self::VirtualTpm => "vtpm",
        }
    }
}
