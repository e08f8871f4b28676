use super::change::Change;
use super::incident::What;
use super::stream::StreamName;
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::Head;

/// Why an object is no change: the first member that is missing, is not of its form, or has no place there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing, not of its form, or has no place in a change")]
pub struct FormError(String);

impl Change {
    /// The wire form; `None` for a change that is made beside the keys alone, and not over the API.
    pub fn to_object(&self) -> Option<Object> {
        Some(match self {
            Self::AddStream { stream, submitter, submitter_key, consent } => named("add-stream", stream)
                .with("submitter", submitter.clone())
                .with("submitter_key_hex", submitter_key.as_ref().map(PublicKey::to_hex))
                .with("consent", consent.as_str()),
            Self::Accept { what, allowed_by, reason } => Object::new()
                .with("change", "accept")
                .with("what", what.name())
                .with("allowed_by", allowed_by.as_str())
                .with("reason", reason.as_str()),
            Self::Reoriginate { stream, head, allowed_by, reason } => named("reoriginate", stream)
                .with("checkpoint_id", head.checkpoint_id.as_str())
                .with("checkpoint_seq_no", head.checkpoint_seq_no)
                .with("checkpoint_hash", head.checkpoint_hash.as_str())
                .with("allowed_by", allowed_by.as_str())
                .with("reason", reason.as_str()),
            Self::Raise { .. } | Self::Rotate { .. } => return None,
        })
    }

    /// Reads the wire form strictly. `witness_id` may be left out where it is `own`.
    pub fn from_object(object: &Object, own: &str) -> Result<Self, FormError> {
        let read = Form { object, own };
        let change = match object.get_str("change") {
            Some("add-stream") => Self::AddStream {
                stream: read.stream()?,
                submitter: read.optional("submitter")?,
                submitter_key: read.key("submitter_key_hex")?,
                consent: read.text("consent")?,
            },
            Some("accept") => Self::Accept {
                what: What::from_name(&read.text("what")?).ok_or_else(|| bad("what"))?,
                allowed_by: read.text("allowed_by")?,
                reason: read.text("reason")?,
            },
            Some("reoriginate") => Self::Reoriginate {
                stream: read.stream()?,
                head: read.head()?,
                allowed_by: read.text("allowed_by")?,
                reason: read.text("reason")?,
            },
            _ => return Err(bad("change")),
        };
        let known = change.to_object().unwrap_or_default();
        match object.iter().find(|(name, _)| known.get(name).is_none()) {
            Some((name, _)) => Err(bad(name)),
            None => Ok(change),
        }
    }
}

struct Form<'a> {
    object: &'a Object,
    own: &'a str,
}

impl Form<'_> {
    fn text(&self, name: &str) -> Result<String, FormError> {
        let text = self.object.get_str(name).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| bad(name))
    }

    fn optional(&self, name: &str) -> Result<Option<String>, FormError> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    fn key(&self, name: &str) -> Result<Option<PublicKey>, FormError> {
        let read = |hex: String| PublicKey::from_hex(&hex).map_err(|_| bad(name));
        self.optional(name)?.map(read).transpose()
    }

    fn stream(&self) -> Result<StreamName, FormError> {
        let witness_id = self.optional("witness_id")?.unwrap_or_else(|| self.own.to_owned());
        Ok(StreamName { witness_id, tenant_id: self.text("tenant_id")?, stream_id: self.text("stream_id")? })
    }

    fn head(&self) -> Result<Head, FormError> {
        let number = self.object.get("checkpoint_seq_no").and_then(Value::as_i64).filter(|number| *number > 0);
        let hash = self.text("checkpoint_hash")?;
        if hash.parse::<crate::facts::Digest>().is_err() {
            return Err(bad("checkpoint_hash"));
        }
        Ok(Head {
            checkpoint_id: self.text("checkpoint_id")?,
            checkpoint_seq_no: number.ok_or_else(|| bad("checkpoint_seq_no"))?,
            checkpoint_hash: hash,
        })
    }
}

fn named(change: &str, stream: &StreamName) -> Object {
    Object::new()
        .with("change", change)
        .with("witness_id", stream.witness_id.as_str())
        .with("tenant_id", stream.tenant_id.as_str())
        .with("stream_id", stream.stream_id.as_str())
}

fn bad(name: &str) -> FormError {
    FormError(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamName {
        StreamName { witness_id: "ins_1".into(), tenant_id: "ten_1".into(), stream_id: "str_1".into() }
    }

    fn changes() -> [Change; 3] {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let key = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let head = Head { checkpoint_id: "chk_1".into(), checkpoint_seq_no: 1, checkpoint_hash: "1a".repeat(32) };
        let (allowed_by, reason) = ("A. Operator".to_owned(), "disk restored".to_owned());
        [
            Change::AddStream {
                stream: stream(),
                submitter: Some("ci".into()),
                submitter_key: Some(key),
                consent: "contract 7".into(),
            },
            Change::Accept { what: What::RolledBack, allowed_by: allowed_by.clone(), reason: reason.clone() },
            Change::Reoriginate { stream: stream(), head, allowed_by, reason },
        ]
    }

    #[test]
    fn a_change_reads_back_as_itself() {
        for change in changes() {
            let object = change.to_object().unwrap();
            let read = Change::from_object(&object, "other").unwrap();
            assert_eq!(read.to_object(), Some(object));
        }
    }

    #[test]
    fn what_may_be_left_out_is_ours_or_nothing() {
        let object = Object::new().with("change", "add-stream").with("tenant_id", "t").with("stream_id", "s");
        let read = Change::from_object(&object.with("consent", "c"), "ins_1").unwrap();
        let Change::AddStream { stream, submitter: None, submitter_key: None, .. } = read else { panic!("{read:?}") };
        assert_eq!(stream.witness_id, "ins_1");
    }

    #[test]
    fn a_member_too_much_or_of_another_form_is_refused_by_name() {
        for change in changes() {
            let object = change.to_object().unwrap();
            let error = Change::from_object(&object.clone().with("x", 1_u32), "ins_1").unwrap_err();
            assert_eq!(error, bad("x"));
            for (name, _) in object.iter().filter(|(name, _)| *name != "witness_id") {
                let error = Change::from_object(&object.clone().with(name, 0_u32), "ins_1").unwrap_err();
                assert_eq!(error, bad(name));
            }
        }
    }
}
