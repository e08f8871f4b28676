use super::{Acknowledgement, Envelope, upstream_event_id};
use crate::facts::Digest;
use crate::protocol::json::Object;

/// What a receiver answers to an event it has recorded. The members of `extra` go into the receipt, where those of
/// the contract win over them.
pub fn acknowledge(envelope: &Envelope, envelope_hash: &Digest, recorded: &Acknowledgement, extra: Object) -> Object {
    let ack = Object::new()
        .with("accepted", true)
        .with("installation_id", envelope.installation_id.as_str())
        .with("event_id", envelope.event_id.as_str())
        .with("source_ref", envelope.source_ref.as_str())
        .with("envelope_hash", envelope_hash.to_string());
    let payload = Object::new()
        .with("event_id", upstream_event_id(&envelope.installation_id, &envelope.source_ref))
        .with("event_hash", recorded.event_hash.as_str());
    let receipt = extra.with("receipt_hash", recorded.receipt_hash.as_str()).with("payload", payload);
    Object::new()
        .with("local_vault_ack", ack)
        .with("stream_id", envelope.stream_id.as_str())
        .with("event_hash", recorded.event_hash.as_str())
        .with("receipt", receipt)
}

/// A refusal in the form that the sandbox answers and the relay understands (section 5):
/// `{"error":{"code":"…","message":"…","eventId":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorForm {
    /// What a program acts on, such as `source_ref_conflict`.
    pub code: String,
    /// What a person reads; empty where the receiver gave none.
    pub message: String,
    /// The event that is refused.
    pub event_id: Option<String>,
    /// The installation that is revoked.
    pub installation_id: Option<String>,
}

impl ErrorForm {
    /// Reads the form out of an answer; `None` where there is no error object with a code.
    pub fn from_object(object: &Object) -> Option<Self> {
        let error = object.get_object("error")?;
        let text = |member| error.get_str(member).map(str::to_owned);
        Some(Self {
            code: text("code")?,
            message: text("message").unwrap_or_default(),
            event_id: text("eventId"),
            installation_id: text("installationId"),
        })
    }

    /// The wire form.
    pub fn to_object(&self) -> Object {
        let mut error = Object::new().with("code", self.code.as_str()).with("message", self.message.as_str());
        if let Some(id) = &self.event_id {
            error = error.with("eventId", id.as_str());
        }
        if let Some(id) = &self.installation_id {
            error = error.with("installationId", id.as_str());
        }
        Object::new().with("error", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json;

    #[test]
    fn a_revocation_needs_no_message() {
        let body = json::parse(br#"{"error":{"code":"installation_revoked","installationId":"ins_1"}}"#).unwrap();
        let form = ErrorForm::from_object(&body).unwrap();
        assert_eq!((form.code.as_str(), form.installation_id.as_deref()), ("installation_revoked", Some("ins_1")));
        assert_eq!(ErrorForm::from_object(&form.to_object()), Some(form));
    }

    #[test]
    fn an_error_without_a_code_is_no_error_form() {
        for body in [r#"{"error":"not found"}"#, r#"{"error":{"message":"x"}}"#, r#"{"code":"x"}"#] {
            assert_eq!(ErrorForm::from_object(&json::parse(body.as_bytes()).unwrap()), None);
        }
    }
}
