use super::state::Recorded;
use crate::facts::Digest;
use crate::protocol::ack::{Acknowledgement, acknowledge};
use crate::protocol::envelope::{Envelope, upstream_event_id};
use crate::protocol::json::Object;

/// What the sandbox says it has recorded. Made anew for every answer, and always the same.
pub(super) struct Receipt {
    event_hash: Digest,
    receipt_hash: Digest,
    payload: Object,
}

impl Receipt {
    /// The receipt for what is held under the upstream id that `envelope` has too.
    pub(super) fn of(recorded: &Recorded, envelope: &Envelope) -> Self {
        let event_hash = event_hash(recorded, envelope);
        let payload = Object::new()
            .with("event_id", upstream_event_id(&envelope.installation_id, &envelope.source_ref))
            .with("event_hash", event_hash.to_string())
            .with("stream_id", &*recorded.stream_id)
            .with("sequence", recorded.sequence)
            .with("received_at", recorded.received_at.to_string())
            .with("sandbox", true);
        Self { event_hash, receipt_hash: Digest::of(&payload.to_canonical()), payload }
    }

    /// `{"receipt_hash","payload"}`; the hash is the SHA-256 of the canonical payload.
    pub(super) fn into_object(self) -> Object {
        Object::new().with("receipt_hash", self.receipt_hash.to_string()).with("payload", self.payload)
    }

    /// The acknowledgement of this very envelope with this receipt, which may be that of an earlier one (section 4).
    pub(super) fn acknowledging(self, envelope: &Envelope, envelope_hash: &Digest) -> Object {
        let (event_hash, receipt_hash) = (self.event_hash.to_string(), self.receipt_hash.to_string());
        let acknowledged = Acknowledgement { event_hash, receipt_hash };
        // Our receipt says more than the contract asks for, so it takes the place of the bare one.
        acknowledge(envelope, envelope_hash, &acknowledged, Object::new()).with("receipt", self.into_object())
    }
}

/// The SHA-256 of the canonical form of what makes an event this event.
fn event_hash(recorded: &Recorded, envelope: &Envelope) -> Digest {
    let event = Object::new()
        .with("installation_id", envelope.installation_id.as_str())
        .with("stream_id", &*recorded.stream_id)
        .with("source_ref", envelope.source_ref.as_str())
        .with("payload_sha256", recorded.payload_sha256.to_string());
    Digest::of(&event.to_canonical())
}
