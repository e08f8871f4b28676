//! What stands in the place of an event whose record was damaged (section 10), ours. It is signed by the record key.

use super::json::Object;
use super::member::{self, MemberError};
use super::{Algorithm, Domain, Preimage};
use crate::facts::{Digest, Timestamp};

/// What the row of a damaged event still said. Any of it may be what was damaged: that is why the event was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapRecord {
    /// The spool it lay in.
    pub spool_id: String,
    /// Its place in the order of sending.
    pub seq: i64,
    /// Its id.
    pub event_id: String,
    /// Its stream.
    pub stream_id: String,
    /// What the source calls it.
    pub source_ref: String,
    /// The hash of its canonical payload.
    pub payload_sha256: Digest,
    /// Sends that were begun while it was whole.
    pub attempt: u32,
    /// Why it was set aside, by name.
    pub reason: String,
    /// When.
    pub found_at: Timestamp,
    /// The algorithm of the signature, which is bound by it.
    pub alg: Algorithm,
    /// The id of the signing key, bound too.
    pub kid: String,
}

impl GapRecord {
    /// The stored form, without the signature.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("type", TYPE)
            .with("spool_id", self.spool_id.as_str())
            .with("seq", self.seq)
            .with("event_id", self.event_id.as_str())
            .with("stream_id", self.stream_id.as_str())
            .with("source_ref", self.source_ref.as_str())
            .with("payload_sha256", self.payload_sha256.to_string())
            .with("attempt", self.attempt)
            .with("reason", self.reason.as_str())
            .with("found_at", self.found_at.to_string())
            .with("alg", self.alg.name())
            .with("kid", self.kid.as_str())
    }

    /// What is signed.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Incident, &self.to_object())
    }

    /// Reads the stored form strictly. An unknown member is refused.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let record = Self {
            spool_id: member::text(object, "spool_id")?,
            seq: member::number(object, "seq")?,
            event_id: member::text(object, "event_id")?,
            stream_id: member::text(object, "stream_id")?,
            source_ref: member::text(object, "source_ref")?,
            payload_sha256: member::digest(object, "payload_sha256")?,
            attempt: member::number(object, "attempt")?,
            reason: member::text(object, "reason")?,
            found_at: member::time(object, "found_at")?,
            alg: member::named(object, "alg", Algorithm::from_name)?,
            kid: member::text(object, "kid")?,
        };
        member::same(&record.to_object(), object)?;
        Ok(record)
    }
}

/// Tells it from other incidents.
const TYPE: &str = "spool.gap";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_itself_and_an_unknown_member_is_refused() {
        let record = GapRecord {
            spool_id: "spl_1".into(),
            seq: 7,
            event_id: "lv_00000000000000000000000000000001".into(),
            stream_id: "s".into(),
            source_ref: "r".into(),
            payload_sha256: Digest::of(b"{}"),
            attempt: 0,
            reason: "payload-drift".into(),
            found_at: Timestamp::from_millis(1_800_000_000_000),
            alg: Algorithm::Ed25519,
            kid: "rec_1".into(),
        };
        assert_eq!(GapRecord::from_object(&record.to_object()), Ok(record.clone()));
        for (member, value) in [("note", "x"), ("type", "other"), ("seq", "7")] {
            let error = GapRecord::from_object(&record.to_object().with(member, value)).unwrap_err();
            assert_eq!(error.member(), member);
        }
    }
}
