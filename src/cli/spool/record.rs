use super::show::{bundles, gap};
use crate::cli::failure::Failure;
use crate::cli::receipt::bundle;
use crate::facts::EventId;
use crate::ingest::EXPORTED;
use crate::protocol::bundle::Bundle;
use crate::protocol::json::{self, Object};
use crate::spool::{Event, History, Spool, SpoolError, SpoolReader};

/// An event as it is exported: its row, its evidence, and the payload where that was asked for.
pub(super) struct Record {
    event: Event,
    history: Option<History>,
    answer: Option<Bundle>,
    claims: Vec<Bundle>,
    /// Whether an answer is there and does not read.
    is_evidence_damaged: bool,
    gap: Option<Object>,
    payload: Option<Opened>,
}

/// A payload that was to be opened.
pub(super) enum Opened {
    /// It does not open.
    Damaged,
    /// It was purged.
    Purged,
    /// It opened.
    Whole(Object),
}

impl Opened {
    pub(super) async fn of(spool: &Spool, id: EventId) -> Result<Self, Failure> {
        match spool.payload(id).await {
            Ok(Some(payload)) => Ok(json::parse(&payload).map_or(Self::Damaged, Self::Whole)),
            // Nothing of an event is ever deleted: an id that is not found was changed.
            Ok(None) | Err(SpoolError::Tampered { .. }) => Ok(Self::Damaged),
            Err(SpoolError::Purged { .. }) => Ok(Self::Purged),
            Err(e) => Err(e.into()),
        }
    }
}

impl Record {
    pub(super) async fn read(reader: &SpoolReader, event: Event, payload: Option<Opened>) -> Result<Self, Failure> {
        let answer = match reader.answer(&event) {
            Ok(Some(answer)) => Ok(bundle(&event, answer, None).await?),
            Ok(None) => Ok(None),
            Err(e) => Err(e),
        };
        let claims = match reader.claims(&event) {
            Ok(found) => Ok(bundles(&event, found).await?),
            Err(e) => Err(e),
        };
        // One event that was changed keeps no other from being exported.
        let mut is_evidence_damaged = false;
        let answer = or_damaged(answer, &mut is_evidence_damaged)?;
        let claims = or_damaged(claims, &mut is_evidence_damaged)?;
        let (history, gap) = (reader.history(&event)?, gap(reader, &event)?);
        Ok(Self { event, history, answer, claims, is_evidence_damaged, gap, payload })
    }

    pub(super) const fn seq(&self) -> i64 {
        self.event.seq
    }

    pub(super) const fn is_damaged(&self) -> bool {
        self.is_evidence_damaged || matches!(self.payload, Some(Opened::Damaged))
    }

    /// In the names of the protocol. `stream_id`, `source_ref` and `payload` are those that are enqueued.
    pub(super) fn to_object(&self) -> Object {
        let Self { event, history, answer, claims, is_evidence_damaged, gap, payload } = self;
        let claims: Vec<Object> = claims.iter().map(Bundle::to_object).collect();
        let object = Object::new()
            .with("kind", EXPORTED)
            .with("seq", event.seq)
            .with("event_id", event.event_id.to_string())
            .with("stream_id", event.stream_id.as_str())
            .with("source_ref", event.source_ref.as_str())
            .with("state", event.state.name())
            .with("attempt", event.attempt)
            .with("failures", event.failures)
            .with("created_at", event.created_at.to_string())
            .with("settled_at", history.map(|history| history.settled_at.to_string()))
            .with("payload_sha256", event.payload_sha256.to_string())
            .with("payload_size", event.payload_size)
            .with("epoch", event.epoch)
            .with("last_error", event.last_error.clone())
            .with("answer", answer.as_ref().map(Bundle::to_object))
            .with("claims", claims)
            .with("gap", gap.clone());
        let object = if *is_evidence_damaged { object.with("evidence_missing", "damaged") } else { object };
        match payload {
            None => object,
            Some(Opened::Damaged) => object.with("payload_missing", "damaged"),
            Some(Opened::Purged) => object.with("payload_missing", "purged"),
            Some(Opened::Whole(payload)) => object.with("payload", payload.clone()),
        }
    }
}

/// Nothing, where what there was is damaged.
fn or_damaged<T: Default>(read: Result<T, SpoolError>, is_damaged: &mut bool) -> Result<T, Failure> {
    match read {
        Err(SpoolError::Tampered { .. }) => {
            *is_damaged = true;
            Ok(T::default())
        }
        read => Ok(read?),
    }
}
