//! Brings events in: a user's payload as it is, or a source attestation that is signed here first. From a command, and
//! from producers on this machine over a local socket.

mod api;
mod file;
mod group;
mod lines;
mod refusal;
mod request;
mod rules;
mod submission;

use std::sync::Arc;

use tracing::Instrument as _;
use zeroize::Zeroizing;

use crate::audit::{Audit, Event};
use crate::custody::{SignError, Signer};
use crate::facts::{Clock, Digest};
use crate::protocol::json::{self, JsonError, Object};
use crate::protocol::source::{PayloadHashOf, SourceAttestation};
use crate::spool::{ContentId, Enqueued, NewEvent, Spool, SpoolError};
pub use api::{Api, Desk, OPENAPI};
pub use file::hash_file;
pub use group::{Group, Settled};
pub use lines::{Line, Lines};
pub use refusal::{Code, Refusal};
pub use request::Request;
use request::runs;
pub use rules::{Producer, Rules, RulesError};
pub use submission::{EXPORTED, Submission};

/// The longest stream_id and source_ref that new commands take, in bytes.
pub const LONGEST_ID: usize = 1024;

/// The longest canonical payload, in bytes. A request is an envelope more, and a receiver reads no JSON of more than
/// [`MAX_BYTES`](json::MAX_BYTES) either: what it can never take would park the destination for good.
pub const LONGEST_PAYLOAD: usize = json::MAX_BYTES - 1024 * 1024;

/// The longest line of NDJSON and the longest body of one event, in bytes.
pub const LONGEST_LINE: usize = json::MAX_BYTES;

/// Spools payloads and attestations.
#[derive(Debug, Clone)]
pub struct Ingest {
    spool: Arc<Spool>,
    audit: Arc<Audit>,
}

/// Signs what is attested.
#[derive(Debug, Clone)]
pub struct Attestor {
    /// For whom.
    pub installation_id: String,
    /// With which key.
    pub signer: Signer,
    /// The time of the attestation.
    pub clock: Arc<dyn Clock>,
}

/// A source that is to be attested by its hash.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The stream it belongs to.
    pub stream_id: String,
    /// What it is called.
    pub source_ref: String,
    /// The hash of its content.
    pub payload_hash: Digest,
    /// Of what the hash was taken.
    pub payload_hash_of: PayloadHashOf,
    /// Who submitted it over the local socket.
    pub producer_uid: Option<u32>,
    /// Whether nobody here has seen the content.
    pub claimed: bool,
}

/// An event on its way into the spool.
#[derive(Debug)]
pub enum Prepared {
    /// It was attested before, as this event.
    Known(Enqueued),
    /// It is new here, and waits to be spooled.
    New(NewEvent, Request),
}

/// Why nothing was spooled, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// An id that new commands refuse.
    #[error("{name} {why}")]
    Id {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The payload is not a JSON object, or an ambiguous one.
    #[error("the payload is refused: {0}")]
    Payload(#[from] JsonError),
    /// The signing key failed. Nothing was spooled; it can be tried again.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The spool refuses or fails.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The payload is longer than [`LONGEST_PAYLOAD`].
    #[error("the payload is larger than {} MiB in its canonical form", LONGEST_PAYLOAD / 1024 / 1024)]
    TooLong,
}

impl Ingest {
    /// Into this spool; that something was sealed is noted in this log.
    pub const fn new(spool: Arc<Spool>, audit: Arc<Audit>) -> Self {
        Self { spool, audit }
    }

    /// Spools a user's payload, unsigned and unchanged but for its canonical form.
    pub async fn payload(
        &self,
        stream_id: &str,
        source_ref: &str,
        payload: &[u8],
        allow_ref_reuse: bool,
    ) -> Result<Enqueued, IngestError> {
        let payload = canonical(&json::parse(payload)?)?;
        let event = unsigned(stream_id.to_owned(), source_ref.to_owned(), payload);
        let event = NewEvent { allow_ref_reuse, ..event };
        self.spool(Prepared::New(event, Request::new())).await
    }

    /// Attests a source, ready to be spooled. What is attested already is the same event, and nothing is signed for it.
    pub async fn attest(
        &self,
        attestor: &Attestor,
        subject: Subject,
        request: Request,
    ) -> Result<Prepared, IngestError> {
        let Subject { stream_id, source_ref, payload_hash, payload_hash_of, producer_uid, claimed } = subject;
        check_id("stream_id", &stream_id)?;
        check_id("source_ref", &source_ref)?;
        let content = ContentId::attested(payload_hash, payload_hash_of);
        match self.spool.find(&stream_id, &source_ref, content).await? {
            Some((known, true)) => {
                self.tell(&request, &known);
                return Ok(Prepared::Known(known));
            }
            Some((other, false)) => return Err(SpoolError::Conflict { event_id: other.event_id }.into()),
            None => {}
        }
        let attestation = SourceAttestation {
            installation_id: attestor.installation_id.clone(),
            stream_id,
            source_ref,
            payload_hash,
            payload_hash_of,
            attested_at: attestor.clock.now(),
            alg: attestor.signer.public_key().algorithm(),
            kid: attestor.signer.kid().to_owned(),
            producer_uid,
            claimed,
        };
        let (_, signature) =
            attestor.signer.sign(attestation.preimage(), &request.id).instrument(request.span.clone()).await?;
        let payload = Zeroizing::new(attestation.sealed(&signature).to_canonical());
        let SourceAttestation { stream_id, source_ref, .. } = attestation;
        Ok(Prepared::New(NewEvent { stream_id, source_ref, payload, content, allow_ref_reuse: false }, request))
    }

    /// Spools an event.
    pub async fn spool(&self, event: Prepared) -> Result<Enqueued, IngestError> {
        let (event, request) = match event {
            Prepared::Known(known) => return Ok(known),
            Prepared::New(event, request) => (event, request),
        };
        let enqueued = self.spool.enqueue(event).instrument(request.span.clone()).await?;
        self.tell(&request, &enqueued);
        self.note(&request, &[Ok(enqueued)]);
        Ok(enqueued)
    }

    /// Spools events in this order in one transaction. One that is refused keeps no other back.
    pub async fn spool_all(&self, events: Vec<Prepared>) -> Result<Vec<Result<Enqueued, SpoolError>>, IngestError> {
        let (mut new, mut requests) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let mut sort = |event| match event {
            Prepared::Known(enqueued) => Some(Ok(enqueued)),
            Prepared::New(event, request) => {
                new.push(event);
                requests.push(request);
                None
            }
        };
        let known: Vec<Option<_>> = events.into_iter().map(&mut sort).collect();
        let spooled = self.spool.enqueue_all(new).await?;
        for (request, enqueued) in requests.iter().zip(&spooled) {
            enqueued.iter().for_each(|enqueued| self.tell(request, enqueued));
        }
        for (first, number) in runs(&requests) {
            self.note(&requests[first], &spooled[first..first + number]);
        }
        let mut spooled = spooled.into_iter();
        Ok(known.into_iter().filter_map(|known| known.or_else(|| spooled.next())).collect())
    }

    /// The event that holds a reference.
    pub async fn find(&self, stream_id: &str, source_ref: &str) -> Result<Option<Enqueued>, IngestError> {
        Ok(self.spool.look_up(stream_id, source_ref).await?)
    }

    /// Says what became of a request, once it is on the disk.
    fn tell(&self, request: &Request, enqueued: &Enqueued) {
        request.span.record("event", tracing::field::display(enqueued.event_id));
        let _inside = request.span.enter();
        if enqueued.known {
            tracing::debug!("known before");
        } else {
            tracing::info!("spooled");
        }
    }

    /// Notes what was sealed for one request, in one entry an epoch.
    fn note(&self, request: &Request, spooled: &[Result<Enqueued, SpoolError>]) {
        let sealed = |done: &Result<Enqueued, SpoolError>| {
            let done = done.as_ref().ok()?;
            Some((done.epoch?, done.event_id))
        };
        let sealed: Vec<_> = spooled.iter().filter_map(sealed).collect();
        for group in sealed.chunk_by(|a, b| a.0 == b.0) {
            if let ([(epoch, first), ..], [.., (_, last)]) = (group, group) {
                self.audit.note(Event::blobs_written(&request.id, *epoch, group.len(), *first, *last));
            }
        }
    }
}

/// The canonical form of a payload that is not too long.
fn canonical(payload: &Object) -> Result<Zeroizing<Vec<u8>>, IngestError> {
    let payload = Zeroizing::new(payload.to_canonical());
    if payload.len() > LONGEST_PAYLOAD { Err(IngestError::TooLong) } else { Ok(payload) }
}

/// A canonical payload as it is, ready to be spooled.
fn unsigned(stream_id: String, source_ref: String, payload: Zeroizing<Vec<u8>>) -> NewEvent {
    let content = ContentId::payload(Digest::of(&payload));
    NewEvent { stream_id, source_ref, payload, content, allow_ref_reuse: false }
}

/// Refuses an id that is empty or too long.
pub fn check_id(name: &'static str, id: &str) -> Result<(), IngestError> {
    match id.len() {
        0 => Err(IngestError::Id { name, why: "is empty" }),
        1..=LONGEST_ID => Ok(()),
        _ => Err(IngestError::Id { name, why: "is longer than 1,024 bytes" }),
    }
}
