//! Brings events in: a user's payload as it is, or a source attestation that is signed here first.

pub mod socket;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use tracing::{Instrument as _, Span};
use zeroize::Zeroizing;

use crate::audit::{Audit, Event};
use crate::custody::{SignError, Signer};
use crate::facts::{Clock, Digest, random_id};
use crate::protocol::json::{self, JsonError};
use crate::protocol::source::{PayloadHashOf, SourceAttestation};
use crate::spool::{ContentId, Enqueued, NewEvent, Spool, SpoolError};

/// The longest stream_id and source_ref that new commands take, in bytes.
pub const LONGEST_ID: usize = 1024;

/// The longest canonical payload, in bytes. A request is an envelope more, and a receiver reads no JSON of more than
/// [`MAX_BYTES`](json::MAX_BYTES) either: what it can never take would park the destination for good.
pub const LONGEST_PAYLOAD: usize = json::MAX_BYTES - 1024 * 1024;

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

/// Something that is attested.
#[derive(Debug)]
pub enum Attested {
    /// It was before, as this event.
    Known(Enqueued),
    /// It is now, and waits to be spooled. The span is its request's.
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
        let payload = Zeroizing::new(json::parse(payload)?.to_canonical());
        if payload.len() > LONGEST_PAYLOAD {
            return Err(IngestError::TooLong);
        }
        let content = ContentId::payload(Digest::of(&payload));
        let event = NewEvent {
            stream_id: stream_id.to_owned(),
            source_ref: source_ref.to_owned(),
            payload,
            content,
            allow_ref_reuse,
        };
        let request = Request::new();
        let enqueued = self.spool.enqueue(event).instrument(request.span.clone()).await?;
        self.tell(&request, &enqueued);
        Ok(enqueued)
    }

    /// Attests bytes by their hash, ready to be spooled. What is attested already is the same event, and nothing is
    /// signed for it.
    pub async fn attest(
        &self,
        attestor: &Attestor,
        stream_id: &str,
        source_ref: &str,
        payload_hash: Digest,
    ) -> Result<Attested, IngestError> {
        check_id("stream_id", stream_id)?;
        check_id("source_ref", source_ref)?;
        let payload_hash_of = PayloadHashOf::Bytes;
        let content = ContentId::attested(payload_hash, payload_hash_of);
        let request = Request::new();
        match self.spool.find(stream_id, source_ref, content).await? {
            Some((known, true)) => {
                self.tell(&request, &known);
                return Ok(Attested::Known(known));
            }
            Some((other, false)) => return Err(SpoolError::Conflict { event_id: other.event_id }.into()),
            None => {}
        }
        let attestation = SourceAttestation {
            installation_id: attestor.installation_id.clone(),
            stream_id: stream_id.to_owned(),
            source_ref: source_ref.to_owned(),
            payload_hash,
            payload_hash_of,
            attested_at: attestor.clock.now(),
            alg: attestor.signer.public_key().algorithm(),
            kid: attestor.signer.kid().to_owned(),
            producer_uid: None,
            claimed: false,
        };
        let (_, signature) =
            attestor.signer.sign(attestation.preimage(), &request.id).instrument(request.span.clone()).await?;
        let event = NewEvent {
            stream_id: stream_id.to_owned(),
            source_ref: source_ref.to_owned(),
            payload: Zeroizing::new(attestation.sealed(&signature).to_canonical()),
            content,
            allow_ref_reuse: false,
        };
        Ok(Attested::New(event, request))
    }

    /// Spools attestations in this order in one transaction. One that is refused keeps no other back.
    pub async fn spool_all(&self, attested: Vec<Attested>) -> Result<Vec<Result<Enqueued, SpoolError>>, IngestError> {
        let (mut new, mut requests) = (Vec::with_capacity(attested.len()), Vec::with_capacity(attested.len()));
        let mut sort = |attested| match attested {
            Attested::Known(enqueued) => Some(Ok(enqueued)),
            Attested::New(event, request) => {
                new.push(event);
                requests.push(request);
                None
            }
        };
        let known: Vec<Option<_>> = attested.into_iter().map(&mut sort).collect();
        let spooled = self.spool.enqueue_all(new).await?;
        for (request, enqueued) in requests.iter().zip(&spooled) {
            enqueued.iter().for_each(|enqueued| self.tell(request, enqueued));
        }
        let mut spooled = spooled.into_iter();
        Ok(known.into_iter().filter_map(|known| known.or_else(|| spooled.next())).collect())
    }

    /// Says what became of a request, once it is on the disk.
    fn tell(&self, request: &Request, enqueued: &Enqueued) {
        if let Some(epoch) = enqueued.epoch {
            self.audit.note(Event::blob_written(&request.id, epoch, enqueued.event_id));
        }
        request.span.record("event", tracing::field::display(enqueued.event_id));
        let _inside = request.span.enter();
        if enqueued.known {
            tracing::debug!("known before");
        } else {
            tracing::info!("spooled");
        }
    }
}

/// A wish to have something spooled, by its name in the logs.
#[derive(Debug)]
pub struct Request {
    id: String,
    span: Span,
}

impl Request {
    fn new() -> Self {
        let id = random_id("req_");
        // At error, so that a warning within it names the request whatever the level. Its event is known once it is
        // spooled.
        let span = tracing::error_span!("ingest", request = id, event = tracing::field::Empty);
        Self { id, span }
    }
}

/// Refuses an id that is empty or too long.
pub fn check_id(name: &'static str, id: &str) -> Result<(), IngestError> {
    match id.len() {
        0 => Err(IngestError::Id { name, why: "is empty" }),
        1..=LONGEST_ID => Ok(()),
        _ => Err(IngestError::Id { name, why: "is longer than 1,024 bytes" }),
    }
}

/// The hash of a plain file's bytes, read as a stream. Blocking, but not on a pipe that nobody writes to, and not for
/// ever on a device: what is no plain file is refused.
pub fn hash_file(path: &Path) -> io::Result<Digest> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a plain file"));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            n => hash.update(&buffer[..n]),
        }
    }
}
