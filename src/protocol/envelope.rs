//! The relay envelope and the request that carries it (sections 3 and 4).

use super::json::Object;
use super::member::{self, MemberError};
use super::{Domain, Preimage};
use crate::facts::{Digest, Timestamp};

/// The header with the envelope's hash in hex. Header names are in lower case, as HTTP libraries keep them.
pub const HEADER_ENVELOPE_HASH: &str = "x-attesto-local-vault-envelope-hash";
/// The header with the envelope's signature in hex.
pub const HEADER_SIGNATURE: &str = "x-attesto-local-vault-signature";
/// The header with the Ed25519 public key in hex.
pub const HEADER_PUBLIC_KEY: &str = "x-attesto-local-vault-public-key";

const PROTOCOL: &str = "ATTESTO-LOCAL-VAULT-001";
const PROTOCOL_VERSION: &str = "0.1";

/// An upstream id of more characters than this names its source by a hash.
const UPSTREAM_ID_CHARS: usize = 160;

/// What is signed for one attempt to relay one event (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who relays.
    pub installation_id: String,
    /// Which event, for ever.
    pub event_id: String,
    /// In which stream.
    pub stream_id: String,
    /// What the event is about, in the submitter's words.
    pub source_ref: String,
    /// The hash of the canonical payload.
    pub payload_sha256: Digest,
    /// The length of the canonical payload in bytes.
    pub payload_size: u64,
    /// 1 for the first send, and one more for each that was signed.
    pub attempt: u32,
    /// When the event was spooled.
    pub created_at: Timestamp,
    /// When this attempt was signed.
    pub signed_at: Timestamp,
}

/// The member that keeps an object from being an envelope.
pub type EnvelopeError = MemberError;

impl Envelope {
    /// The wire form.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("protocol", PROTOCOL)
            .with("protocol_version", PROTOCOL_VERSION)
            .with("installation_id", self.installation_id.as_str())
            .with("event_id", self.event_id.as_str())
            .with("stream_id", self.stream_id.as_str())
            .with("source_ref", self.source_ref.as_str())
            .with("payload_sha256", self.payload_sha256.to_string())
            .with("payload_size", self.payload_size)
            .with("attempt", self.attempt)
            .with("created_at", self.created_at.to_string())
            .with("signed_at", self.signed_at.to_string())
    }

    /// What is signed; its hash is the envelope hash.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Relay, &self.to_object())
    }

    /// Reads the wire form: exactly these members, this protocol and version, times to the millisecond in UTC.
    pub fn from_object(object: &Object) -> Result<Self, EnvelopeError> {
        let envelope = Self {
            installation_id: member::text(object, "installation_id")?,
            event_id: member::text(object, "event_id")?,
            stream_id: member::text(object, "stream_id")?,
            source_ref: member::text(object, "source_ref")?,
            payload_sha256: member::digest(object, "payload_sha256")?,
            payload_size: member::number(object, "payload_size")?,
            attempt: member::number(object, "attempt")?,
            created_at: member::time(object, "created_at")?,
            signed_at: member::time(object, "signed_at")?,
        };
        member::same(&envelope.to_object(), object)?;
        Ok(envelope)
    }
}

/// The id under which the receiver keeps an event (section 4). It has no stream in it.
pub fn upstream_event_id(installation_id: &str, source_ref: &str) -> String {
    let id = format!("local-vault:{installation_id}:{source_ref}");
    if id.chars().count() <= UPSTREAM_ID_CHARS {
        return id;
    }
    format!("local-vault:{installation_id}:{}", Digest::of(source_ref.as_bytes()))
}

/// The body of the request. Both go in as they are, since their bytes are what was signed and hashed.
pub fn request_body(envelope: &Preimage, canonical_payload: &[u8]) -> Vec<u8> {
    const ROUND_THEM: usize = r#"{"envelope":,"payload":}"#.len();
    let envelope = envelope.canonical();
    let mut body = Vec::with_capacity(ROUND_THEM + envelope.len() + canonical_payload.len());
    body.extend_from_slice(br#"{"envelope":"#);
    body.extend_from_slice(envelope);
    body.extend_from_slice(br#","payload":"#);
    body.extend_from_slice(canonical_payload);
    body.push(b'}');
    body
}

/// The request as a receiver reads it. Whether the payload is the one that the envelope names is still to be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRequest<'a> {
    /// What was signed.
    pub envelope: Envelope,
    /// The envelope's preimage.
    pub preimage: Preimage,
    /// The event itself.
    pub payload: &'a Object,
}

impl<'a> EventRequest<'a> {
    /// Reads the body: an envelope, a payload, and nothing else.
    pub fn from_object(object: &'a Object) -> Result<Self, EnvelopeError> {
        let signed = member::object(object, "envelope")?;
        let envelope = Envelope::from_object(signed)?;
        let payload = member::object(object, "payload")?;
        let known = |key: &String| key == "envelope" || key == "payload";
        match object.iter().find(|(key, _)| !known(key)) {
            Some((key, _)) => Err(MemberError::new(key)),
            // What was read has the one form that is signed.
            None => Ok(Self { envelope, preimage: Preimage::new(Domain::Relay, signed), payload }),
        }
    }
}

/// An envelope for the tests of this room.
#[cfg(test)]
pub(super) fn example() -> Envelope {
    Envelope {
        installation_id: "ins_1".into(),
        event_id: "lv_00000000000000000000000000000001".into(),
        stream_id: "str_1".into(),
        source_ref: "invoice/7".into(),
        payload_sha256: Digest::of(b"{}"),
        payload_size: 2,
        attempt: 1,
        created_at: Timestamp::from_millis(1_800_000_000_000),
        signed_at: Timestamp::from_millis(1_800_000_000_001),
    }
}

#[cfg(test)]
mod tests {
    use super::example as envelope;
    use super::*;
    use crate::protocol::json::{self, Value};

    #[test]
    fn an_envelope_reads_back_as_itself() {
        assert_eq!(Envelope::from_object(&envelope().to_object()), Ok(envelope()));
    }

    #[test]
    fn whatever_differs_from_the_wire_form_is_refused_by_name() {
        let cases: [(&str, Value); 7] = [
            ("attempt", (-1_i64).into()),
            ("attempt", "1".into()),
            ("created_at", "2027-01-15T08:00:00Z".into()),
            ("payload_sha256", "AB".repeat(32).into()),
            ("protocol", "ATTESTO-LOCAL-VAULT-002".into()),
            ("protocol_version", "0.2".into()),
            ("surprise", Value::Null),
        ];
        for (member, value) in cases {
            let error = Envelope::from_object(&envelope().to_object().with(member, value)).unwrap_err();
            assert_eq!(error.member(), member);
        }
    }

    #[test]
    fn a_missing_member_is_refused_by_name() {
        for member in ["protocol", "source_ref", "signed_at"] {
            let mut object = envelope().to_object();
            object.remove(member);
            assert_eq!(Envelope::from_object(&object).unwrap_err().member(), member);
        }
    }

    #[test]
    fn a_long_source_ref_is_replaced_by_its_hash_counted_in_characters() {
        let fits = "é".repeat(UPSTREAM_ID_CHARS - "local-vault:ins_1:".len());
        assert_eq!(upstream_event_id("ins_1", &fits), format!("local-vault:ins_1:{fits}"));
        let over = format!("{fits}é");
        let hash = Digest::of(over.as_bytes());
        assert_eq!(upstream_event_id("ins_1", &over), format!("local-vault:ins_1:{hash}"));
    }

    #[test]
    fn a_request_body_carries_the_payloads_own_bytes() {
        let body = request_body(&envelope().preimage(), br#"{"n":1.0}"#);
        let body = json::parse(&body).unwrap();
        let request = EventRequest::from_object(&body).unwrap();
        assert_eq!((&request.envelope, &request.preimage), (&envelope(), &envelope().preimage()));
        assert_eq!(request.payload.to_canonical(), br#"{"n":1.0}"#);
    }

    #[test]
    fn a_request_with_a_third_member_is_refused() {
        let object = Object::new().with("envelope", envelope().to_object()).with("payload", Object::new());
        let error = EventRequest::from_object(&object.with("extra", true)).unwrap_err();
        assert_eq!(error.member(), "extra");
    }
}
