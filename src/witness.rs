//! Witnesses checkpoints: signs what extends a stream, and fork evidence for what contradicts it (section 6).
//!
//! What is decided is written down, chained to everything before it, and anchored outside the file, before it is signed
//! (I1, I7). A state that lies behind its anchor, or is not as it was written, is never signed on. A signature that a
//! crash prevented is made when the same checkpoint comes again, over the same bytes.

mod api;
mod archive;
mod callers;
mod change;
mod change_form;
mod check;
mod counter;
mod desk;
mod document;
mod error;
mod floor;
mod identity;
mod import;
mod incident;
mod look_back;
mod metrics;
mod open;
mod peers;
mod reader;
mod record;
mod refusal;
mod request;
mod rotate;
mod schema;
mod secret;
mod standing;
mod state;
mod stream;
mod sum;
mod turn;

pub use api::{Api, Inside, OPENAPI};
pub use archive::Archive;
pub use callers::{Callers, OPERATOR, PER_SECOND, Peer, Submitter};
pub use change::Change;
pub use change_form::FormError;
pub use check::{Checked, Wrong};
pub use counter::{Counter, Presence};
pub use desk::{Closing, Desk, Snapshot};
pub use document::sign as sign_document;
pub use error::WitnessError;
pub use floor::{FloorFile, SignedFloor};
pub use identity::Policy;
pub use import::{ImportError, Imported, is_published_witness, published_counts};
pub use incident::{Incident, What};
pub use metrics::Metrics;
pub use open::{Allowed, Setup, Witness};
pub use peers::{Difference, HeadsPage, PeerError, PeerHeads, contradicts, floors, is_ahead, needed};
pub use reader::{Fork, WitnessReader, Written};
pub use refusal::{Code, Refusal};
pub use request::{GuardedClock, Request, Times};
pub use schema::SCHEMA;
pub use state::OwnKey;
pub use stream::{Stream, StreamName};

pub use crate::protocol::witness::Class;

use crate::protocol::json::Object;

/// What a submission led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It extends the stream; here is the receipt.
    Accepted(Object),
    /// It contradicts the stream; here is the evidence.
    Forked(Object),
    /// It was accepted before; here is that receipt.
    Replayed(Object),
}

impl Verdict {
    /// What it is called in records: `accepted`, `forked` or `replayed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Forked(_) => "forked",
            Self::Replayed(_) => "replayed",
        }
    }

    /// What the published command prints, and what is answered and posted.
    pub fn to_object(&self) -> Object {
        let (receipt, evidence) = match self {
            Self::Accepted(receipt) | Self::Replayed(receipt) => (Some(receipt.clone()), None),
            Self::Forked(evidence) => (None, Some(evidence.clone())),
        };
        Object::new()
            .with("accepted", receipt.is_some())
            .with("replayed", matches!(self, Self::Replayed(_)))
            .with("receipt", receipt)
            .with("forkEvidence", evidence)
    }
}

/// How much the witness has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Fork evidence.
    pub forks: u64,
    /// Receipts.
    pub receipts: u64,
}
