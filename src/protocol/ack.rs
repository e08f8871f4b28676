//! The acknowledgement, which fails closed: an event counts as delivered only where every check passes (section 4).

mod answer;

pub use answer::{ErrorForm, acknowledge};

use super::envelope::{Envelope, upstream_event_id};
use super::json::{Object, Value};
use crate::facts::Digest;

/// What a receiver says it has recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The receiver's hash of the event: 64 hex digits of either case.
    pub event_hash: String,
    /// The receiver's hash of the receipt: 64 hex digits of either case.
    pub receipt_hash: String,
}

/// Checks the body of a 2xx answer against the envelope that was sent. `None` stands for a body that is missing or
/// no JSON object.
///
/// The order of the checks is the contract, since the first that fails names the error. The last two close holes of
/// the published check, which accepts two absent event hashes, and any 64 characters as the receipt's hash.
pub fn check(envelope: &Envelope, envelope_hash: &Digest, body: Option<&Object>) -> Result<Acknowledgement, AckError> {
    let body = body.ok_or(AckError::MissingBody)?;
    check_ack(envelope, envelope_hash, body)?;

    let receipt = body.get_object("receipt").ok_or(AckError::MissingReceipt)?;
    let payload = receipt.get_object("payload").ok_or(AckError::MissingReceiptPayload)?;
    if text(body, STREAM_ID) != Some(&envelope.stream_id) {
        return Err(AckError::StreamIdMismatch);
    }
    let upstream_id = upstream_event_id(&envelope.installation_id, &envelope.source_ref);
    if payload.get_str("event_id") != Some(&upstream_id) {
        return Err(AckError::EventIdMismatch);
    }
    // An absent hash is a null one to the published check, so that two absent ones match here.
    let event_hash = member(body, EVENT_HASH).unwrap_or(&Value::Null);
    if payload.get("event_hash").unwrap_or(&Value::Null) != event_hash {
        return Err(AckError::EventHashMismatch);
    }
    let receipt_hash = text(receipt, RECEIPT_HASH).filter(|hash| hash.chars().count() == 64);
    let receipt_hash = receipt_hash.ok_or(AckError::ReceiptHashMissing)?;

    let event_hash = event_hash.as_str().filter(|hash| is_hash(hash)).ok_or(AckError::EventHashMissing)?;
    if !is_hash(receipt_hash) {
        return Err(AckError::ReceiptHashMissing);
    }
    Ok(Acknowledgement { event_hash: event_hash.to_owned(), receipt_hash: receipt_hash.to_owned() })
}

/// The receipt that an answer carries for an event, whatever else is wrong with the answer. Two that differ for one
/// event contradict each other.
pub fn receipt_for(installation_id: &str, source_ref: &str, body: &Object) -> Option<Acknowledgement> {
    let receipt = body.get_object("receipt")?;
    let payload = receipt.get_object("payload")?;
    if payload.get_str("event_id") != Some(&upstream_event_id(installation_id, source_ref)) {
        return None;
    }
    let hash = |hash: Option<&str>| hash.filter(|hash| is_hash(hash)).map(str::to_ascii_lowercase);
    let event_hash = hash(payload.get_str("event_hash"))?;
    if hash(text(body, EVENT_HASH).map(String::as_str)).as_ref() != Some(&event_hash) {
        return None; // it does not even agree with itself
    }
    Some(Acknowledgement { event_hash, receipt_hash: hash(text(receipt, RECEIPT_HASH).map(String::as_str))? })
}

/// Whether an answer names this very event, by its id or by the envelope's hash: only then can it be a judgement on
/// the event (section 5). It may do so in the acknowledgement, at the top level or in the error form.
pub fn names_event(envelope: &Envelope, envelope_hash: &Digest, body: &Object) -> bool {
    let names = |object: &Object| {
        text(object, EVENT_ID) == Some(&envelope.event_id)
            || text(object, ENVELOPE_HASH) == Some(&envelope_hash.to_string())
    };
    let ack = member(body, LOCAL_VAULT_ACK).and_then(Value::as_object);
    let error = ErrorForm::from_object(body).and_then(|error| error.event_id);
    names(body) || ack.is_some_and(names) || error.as_ref() == Some(&envelope.event_id)
}

/// Why an answer is no acknowledgement. Displayed as its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.code())]
pub enum AckError {
    /// The acknowledgement names another envelope.
    AckEnvelopeHashMismatch,
    /// The acknowledgement names another event.
    AckEventIdMismatch,
    /// The acknowledgement names another installation.
    AckInstallationIdMismatch,
    /// `accepted` is not the boolean true.
    AckNotAccepted,
    /// The acknowledgement names another source.
    AckSourceRefMismatch,
    /// The receipt is for another event hash than the answer.
    EventHashMismatch,
    /// The event hash is not 64 hex digits.
    EventHashMissing,
    /// The receipt is for another event.
    EventIdMismatch,
    /// No body, or no JSON object.
    MissingBody,
    /// No acknowledgement object.
    MissingLocalVaultAck,
    /// No receipt object.
    MissingReceipt,
    /// No receipt payload object.
    MissingReceiptPayload,
    /// The receipt hash is not 64 hex digits.
    ReceiptHashMissing,
    /// The answer names another stream.
    StreamIdMismatch,
}

impl AckError {
    /// The code of the contract's table. The published commands print it behind `ack-`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AckEnvelopeHashMismatch => "ack-envelope-hash-mismatch",
            Self::AckEventIdMismatch => "ack-event-id-mismatch",
            Self::AckInstallationIdMismatch => "ack-installation-id-mismatch",
            Self::AckNotAccepted => "ack-not-accepted",
            Self::AckSourceRefMismatch => "ack-source-ref-mismatch",
            Self::EventHashMismatch => "event-hash-mismatch",
            Self::EventHashMissing => "event-hash-missing",
            Self::EventIdMismatch => "event-id-mismatch",
            Self::MissingBody => "missing-body",
            Self::MissingLocalVaultAck => "missing-local-vault-ack",
            Self::MissingReceipt => "missing-receipt",
            Self::MissingReceiptPayload => "missing-receipt-payload",
            Self::ReceiptHashMissing => "receipt-hash-missing",
            Self::StreamIdMismatch => "stream-id-mismatch",
        }
    }
}

fn check_ack(envelope: &Envelope, envelope_hash: &Digest, body: &Object) -> Result<(), AckError> {
    let ack = member(body, LOCAL_VAULT_ACK).and_then(Value::as_object).ok_or(AckError::MissingLocalVaultAck)?;
    if ack.get("accepted").and_then(Value::as_bool) != Some(true) {
        return Err(AckError::AckNotAccepted);
    }
    let envelope_hash = envelope_hash.to_string();
    let expected = [
        (INSTALLATION_ID, &envelope.installation_id, AckError::AckInstallationIdMismatch),
        (EVENT_ID, &envelope.event_id, AckError::AckEventIdMismatch),
        (SOURCE_REF, &envelope.source_ref, AckError::AckSourceRefMismatch),
        (ENVELOPE_HASH, &envelope_hash, AckError::AckEnvelopeHashMismatch),
    ];
    for (name, value, error) in expected {
        if text(ack, name) != Some(value) {
            return Err(error);
        }
    }
    Ok(())
}

/// A member's name, snake_case and camelCase.
type Name = (&'static str, &'static str);

const ENVELOPE_HASH: Name = ("envelope_hash", "envelopeHash");
const EVENT_HASH: Name = ("event_hash", "eventHash");
const EVENT_ID: Name = ("event_id", "eventId");
const INSTALLATION_ID: Name = ("installation_id", "installationId");
const LOCAL_VAULT_ACK: Name = ("local_vault_ack", "localVaultAck");
const RECEIPT_HASH: Name = ("receipt_hash", "receiptHash");
const SOURCE_REF: Name = ("source_ref", "sourceRef");
const STREAM_ID: Name = ("stream_id", "streamId");

/// The snake form wins where both are there, also when it is null.
fn member(object: &Object, (snake, camel): Name) -> Option<&Value> {
    object.get(snake).or_else(|| object.get(camel))
}

fn text(object: &Object, name: Name) -> Option<&String> {
    if let Value::String(text) = member(object, name)? { Some(text) } else { None }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::envelope::example as envelope;

    fn hash() -> Digest {
        envelope().preimage().hash()
    }

    fn recorded() -> Acknowledgement {
        Acknowledgement { event_hash: "AB".repeat(32), receipt_hash: "cd".repeat(32) }
    }

    fn answer() -> Object {
        acknowledge(&envelope(), &hash(), &recorded(), Object::new())
    }

    #[test]
    fn what_a_receiver_builds_passes_the_check() {
        assert_eq!(check(&envelope(), &hash(), Some(&answer())), Ok(recorded()));
    }

    #[test]
    fn an_acknowledgement_of_an_earlier_attempt_is_refused() {
        let retried = Envelope { attempt: 2, ..envelope() };
        let error = check(&retried, &retried.preimage().hash(), Some(&answer()));
        assert_eq!(error, Err(AckError::AckEnvelopeHashMismatch));
    }

    #[test]
    fn a_null_in_snake_case_hides_the_camel_form() {
        let body = answer().with("stream_id", Value::Null).with("streamId", "str_1");
        assert_eq!(check(&envelope(), &hash(), Some(&body)), Err(AckError::StreamIdMismatch));
    }

    #[test]
    fn two_absent_event_hashes_are_no_match() {
        let mut body = answer();
        body.remove("event_hash");
        let mut receipt = body.get_object("receipt").unwrap().clone();
        let mut payload = receipt.get_object("payload").unwrap().clone();
        payload.remove("event_hash");
        receipt = receipt.with("payload", payload);
        let body = body.with("receipt", receipt);
        assert_eq!(check(&envelope(), &hash(), Some(&body)), Err(AckError::EventHashMissing));
    }

    #[test]
    fn an_answer_names_the_event_in_any_of_its_places() {
        let id = envelope().event_id;
        let named = [
            Object::new().with("event_id", id.as_str()),
            Object::new().with("envelopeHash", hash().to_string()),
            Object::new().with("localVaultAck", Object::new().with("eventId", id.as_str())),
            Object::new().with("error", Object::new().with("code", "refused").with("eventId", id.as_str())),
        ];
        for body in named {
            assert!(names_event(&envelope(), &hash(), &body), "{body:?}");
        }
    }

    #[test]
    fn an_answer_about_another_event_names_nothing() {
        let other = "lv_00000000000000000000000000000002";
        let unnamed = [
            Object::new(),
            Object::new().with("event_id", other),
            Object::new().with("error", Object::new().with("code", "refused").with("eventId", other)),
            Object::new().with("message", envelope().event_id),
        ];
        for body in unnamed {
            assert!(!names_event(&envelope(), &hash(), &body), "{body:?}");
        }
    }
}
