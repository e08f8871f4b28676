use super::Limit;
use crate::epochs::EpochError;
use crate::facts::{Digest, EventId, Framed, Timestamp};
use crate::protocol::bundle::Bundle;
use crate::protocol::envelope::Envelope;
use crate::protocol::json::Object;
use crate::protocol::source::PayloadHashOf;
use crate::protocol::{PublicKey, Signature};
use crate::store::StoreError;

/// Where an event is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits to be sent.
    Queued = 0,
    /// Is being sent, or was when a process ended.
    Relaying = 1,
    /// Settled: a matching receipt is kept, or in an outbox the answer of a receiver that took it.
    Receipted = 2,
    /// Settled: the receiver holds other content under its reference; the evidence is kept.
    Conflict = 3,
    /// Settled: judged against too often, or its record is damaged.
    Dead = 4,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Relaying, Self::Receipted, Self::Conflict, Self::Dead];

    /// The name that our commands print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Relaying => "relaying",
            Self::Receipted => "receipted",
            Self::Conflict => "conflict",
            Self::Dead => "dead",
        }
    }

    /// The name that the published commands print (section 5).
    pub const fn published_name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Relaying => "inflight",
            Self::Receipted => "delivered",
            Self::Conflict | Self::Dead => "dead",
        }
    }

    /// Whether nothing more becomes of it by itself.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Receipted | Self::Conflict | Self::Dead)
    }

    pub(super) fn from_number(number: i64) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| *state as i64 == number);
        found.ok_or_else(|| StoreError::Damaged(format!("an event is in the unknown state {number}")))
    }
}

/// What makes two events the same: idempotence compares this, long after the event itself is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentId(Digest);

impl ContentId {
    /// A payload, by the hash of its canonical form.
    pub fn payload(sha256: Digest) -> Self {
        Self::of("payload", sha256)
    }

    /// A source attestation, by what it attests: the same file attested again differs in its time and signature only.
    pub fn attested(hash: Digest, of: PayloadHashOf) -> Self {
        Self::of(of.name(), hash)
    }

    fn of(kind: &str, digest: Digest) -> Self {
        let framed = Framed::new("local-vault.content.v1").bytes(kind.as_bytes()).bytes(digest.as_bytes());
        Self(Digest::of(framed.as_bytes()))
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// An event as the spool shows it, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of sending.
    pub seq: i64,
    /// Its name for ever.
    pub event_id: EventId,
    /// The stream it belongs to.
    pub stream_id: String,
    /// What the source calls it.
    pub source_ref: String,
    /// Where it is.
    pub state: State,
    /// Sends that were begun.
    pub attempt: u32,
    /// Judgements against it.
    pub failures: u32,
    /// When it was spooled.
    pub created_at: Timestamp,
    /// SHA-256 of the canonical payload.
    pub payload_sha256: Digest,
    /// Length of the canonical payload in bytes.
    pub payload_size: u64,
    /// The epoch it is sealed under.
    pub epoch: u32,
    /// Why the last send did not settle it, or why it is dead.
    pub last_error: Option<String>,
}

impl Event {
    /// What names its send of now in logs: no attempt is ever made twice.
    pub fn request_id(&self) -> String {
        format!("{}.{}", self.event_id, self.attempt)
    }

    /// The envelope of one of its sends.
    pub fn envelope(&self, installation_id: &str, attempt: u32, signed_at: Timestamp) -> Envelope {
        Envelope {
            installation_id: installation_id.to_owned(),
            event_id: self.event_id.to_string(),
            stream_id: self.stream_id.clone(),
            source_ref: self.source_ref.clone(),
            payload_sha256: self.payload_sha256,
            payload_size: self.payload_size,
            attempt,
            created_at: self.created_at,
            signed_at,
        }
    }
}

/// The signed part of a send; with the event's own fields it gives the envelope back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// For whom it was sent.
    pub installation_id: String,
    /// Which send.
    pub attempt: u32,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The signature over the envelope.
    pub signature: Signature,
    /// Under which it verifies.
    pub public_key: PublicKey,
}

/// What the receiver said about one send, whole: the receipt, or the evidence of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was sent; `None` for the payload alone, as an outbox sends it.
    pub sent: Option<SignedEnvelope>,
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

impl Answer {
    /// The event that was answered with its evidence, as it verifies far from the spool. `None` where it went without
    /// an envelope: then its payload is what verifies.
    pub fn bundle(self, event: &Event, payload: Option<Object>) -> Option<Bundle> {
        let sent = self.sent?;
        Some(Bundle {
            envelope: event.envelope(&sent.installation_id, sent.attempt, sent.signed_at),
            signature: sent.signature,
            public_key: sent.public_key,
            status: self.status,
            answer: self.body,
            received_at: self.received_at,
            payload,
        })
    }
}

/// How many events, and how many payload bytes, are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The state.
    pub state: State,
    /// How many events.
    pub events: u64,
    /// Their canonical payloads, in bytes.
    pub bytes: u64,
    /// How many of them have their content still.
    pub contents: u64,
}

/// Why the spool refuses or fails, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The reference holds other content. Nothing was overwritten; the caller's content needs another reference.
    #[error("the source_ref already holds other content, as {event_id}")]
    Conflict {
        /// The event that holds it.
        event_id: EventId,
    },
    /// The data keys do not open, or custody failed.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A limit of ours is reached. Nothing was dropped; room is made by relaying, by purging, or by a higher limit.
    #[error("the spool is full: {}", limit.what())]
    Full {
        /// Which limit.
        limit: Limit,
    },
    /// The operator has closed the door for maintenance.
    #[error("the spool is in maintenance: {reason}")]
    Maintenance {
        /// In the operator's words.
        reason: String,
    },
    /// The event is not a dead one, or not here.
    #[error("there is no dead event {event_id}")]
    NotDead {
        /// Which event.
        event_id: EventId,
    },
    /// The spool relays for another installation.
    #[error("the spool belongs to the installation {bound}, not to {asked}")]
    OtherInstallation {
        /// Whom it belongs to.
        bound: String,
        /// Who asked.
        asked: String,
    },
    /// The spool is a witness's outbox and was to be relayed, or it is relayed and was to be an outbox.
    #[error("the spool {}", if *is_outbox { "is a witness's outbox" } else { "holds events, and is no witness's outbox" })]
    OtherUse {
        /// What it is.
        is_outbox: bool,
    },
    /// The event's content was purged.
    #[error("the content of event {event_id} was purged")]
    Purged {
        /// Which event.
        event_id: EventId,
    },
    /// The reference is in use in another stream; the receiver would take both for one event.
    #[error("the source_ref is in use in another stream, as {event_id}")]
    RefReuse {
        /// The event that uses it.
        event_id: EventId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row says what cannot be. Nothing of it is used.
    #[error("event {event_id} is damaged")]
    Tampered {
        /// Which event.
        event_id: EventId,
    },
}

impl SpoolError {
    /// Whether an event was refused before anything of it was written, which says nothing of others.
    pub(super) const fn is_about_one_event(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Full { .. } | Self::Maintenance { .. } | Self::RefReuse { .. })
    }
}

impl From<rusqlite::Error> for SpoolError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<crate::custody::CustodyError> for SpoolError {
    fn from(error: crate::custody::CustodyError) -> Self {
        Self::Epoch(error.into())
    }
}
