use std::fmt;

use super::{Role, SplitView};
use crate::facts::Timestamp;
use crate::protocol::member::MemberError;
use crate::protocol::witness::{ForkEvidence, SubmissionError};
use crate::protocol::{InvalidSignature, PublicKey};

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// Whose stream.
    pub tenant_id: String,
    /// Which stream.
    pub stream_id: String,
    /// The checkpoint's number.
    pub seq_no: i64,
    /// The checkpoint's hash.
    pub hash: String,
}

/// What came of the statements and the evidence, one by one and together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Reached, not reached, or refused.
    pub verdict: Verdict,
    /// Which checkpoint it is about, where that is known.
    pub checkpoint: Option<Checkpoint>,
    /// How many witnesses have to agree.
    pub required: usize,
    /// How many witnesses the policy has.
    pub of: usize,
    /// The witnesses that agree, by name, in the order of the policy.
    pub counted: Vec<String>,
    /// Roles of which too few agree.
    pub missing: Vec<MissingRole>,
    /// Numbers with several hashes.
    pub splits: Vec<SplitView>,
    /// How each statement stands, in the order in which they were given.
    pub statements: Vec<Standing>,
    /// How each piece of fork evidence stands, in the order in which they were given.
    pub evidence: Vec<EvidenceStanding>,
}

/// What a relying party may do with the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Too few witnesses agree. More statements may change that.
    NotReached,
    /// Enough witnesses agree, and nothing speaks against it.
    Reached,
    /// The history is ambiguous, or it is open what is asked. More witnesses do not change that.
    Refused(Vec<Refusal>),
}

/// Why a verdict is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A witness of the policy signed fork evidence about the stream.
    #[error("fork evidence")]
    ForkEvidence,
    /// Witnesses of the policy signed several hashes for one number.
    #[error("two hashes for one number")]
    SplitView,
    /// The statements are about several checkpoints, and it was not said which one is meant.
    #[error("the statements are about several checkpoints")]
    SeveralCheckpoints,
}

/// A role of which too few witnesses agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingRole {
    /// Which role.
    pub role: Role,
    /// How many of it agree.
    pub counted: usize,
    /// How many have to.
    pub required: usize,
}

/// How a statement stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It counts for the witness of this name.
    Counted(String),
    /// It does not count.
    NotCounted {
        /// Whose key signed it, where that is in the policy and the signature verifies.
        witness: Option<String>,
        /// Why not.
        reason: Reason,
    },
}

/// Why a statement does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Its witness counts already.
    #[error("the same witness again")]
    Again,
    /// Not in the wire form, or it contradicts itself.
    #[error(transparent)]
    Form(#[from] MemberError),
    /// It was accepted later than now.
    #[error("it was accepted at {0}, which is in the future")]
    FromTheFuture(Timestamp),
    /// Well signed, and no checkpoint.
    #[error(transparent)]
    Malformed(#[from] SubmissionError),
    /// The statements are about several checkpoints, of which none was asked for.
    #[error("it is about number {number} of {stream_id}, hash {hash}; others are about others")]
    OneOfSeveral {
        /// Which stream.
        stream_id: String,
        /// Its number.
        number: i64,
        /// Its hash.
        hash: String,
    },
    /// It is about another hash.
    #[error("another hash: number {number}, {hash}")]
    OtherHash {
        /// Its number.
        number: i64,
        /// Its hash.
        hash: String,
    },
    /// It is about another tenant or stream.
    #[error("another stream: {stream_id} of {tenant_id}")]
    OtherStream {
        /// Whose stream.
        tenant_id: String,
        /// Which stream.
        stream_id: String,
    },
    /// The policy knows the witness under another id.
    #[error("another witness_id than the policy has: {0}")]
    OtherWitnessId(String),
    /// Changed since it was signed, or signed by another key than it names.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
    /// It was accepted longer ago than the policy allows.
    #[error("it was accepted at {0}, which is too old")]
    TooOld(Timestamp),
    /// The key that it names is nobody's in the policy.
    #[error("no witness of the policy has its key, {}", .0.to_hex())]
    UnknownKey(PublicKey),
}

/// How fork evidence stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvidenceStanding {
    /// It is genuine, and about another stream.
    OtherStream {
        /// Who signed it.
        witness: String,
        /// What it says.
        evidence: ForkEvidence,
    },
    /// It does not refuse: anybody can make such.
    PassedOver(Reason),
    /// It is genuine, and the quorum is refused for it.
    Refuses {
        /// Who signed it.
        witness: String,
        /// What it says.
        evidence: ForkEvidence,
    },
}

impl Report {
    /// Whether the checkpoint may be relied on.
    pub fn is_reached(&self) -> bool {
        self.verdict == Verdict::Reached
    }

    /// Whether the stream's history is ambiguous, for which somebody has to be woken.
    pub fn is_a_fork(&self) -> bool {
        let is_one = |refusal: &Refusal| matches!(refusal, Refusal::ForkEvidence | Refusal::SplitView);
        matches!(&self.verdict, Verdict::Refused(refusals) if refusals.iter().any(is_one))
    }
}

/// The verdict in one line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Verdict::Refused(refusals) = &self.verdict {
            let reasons: Vec<_> = refusals.iter().map(Refusal::to_string).collect();
            return write!(f, "refused: {}", reasons.join(", "));
        }
        let word = if self.is_reached() { "quorum reached" } else { "quorum not reached" };
        write!(f, "{word}: {} of {} witnesses, required {}", self.counted.len(), self.of, self.required)?;
        for MissingRole { role, counted, required } in &self.missing {
            write!(f, "; {counted} {role}, required {required}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted(witness) => write!(f, "for {witness}"),
            Self::NotCounted { witness: Some(witness), reason } => write!(f, "{witness}: {reason}"),
            Self::NotCounted { witness: None, reason } => reason.fmt(f),
        }
    }
}

impl fmt::Display for EvidenceStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherStream { witness, evidence } => {
                let submission = &evidence.submission;
                write!(f, "{witness}: about another stream, {} of {}", submission.stream_id, submission.tenant_id)
            }
            Self::PassedOver(reason) => reason.fmt(f),
            Self::Refuses { witness, evidence } => {
                let submission = &evidence.submission;
                let (stream, number) = (&submission.stream_id, submission.checkpoint_seq_no);
                write!(f, "{witness}: fork evidence for {stream} number {number}")
            }
        }
    }
}
