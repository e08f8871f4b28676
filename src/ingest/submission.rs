use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::refusal::{Code, Refusal};
use super::{Attestor, Ingest, Prepared, Request, Subject, canonical, check_id, unsigned};
use crate::facts::Digest;
use crate::protocol::json::{self, Object, Value};
use crate::protocol::source::PayloadHashOf;

/// The kind of an event that was exported from a spool. It is taken into another one as it was submitted: what became of
/// it there stays behind.
pub const EXPORTED: &str = "local-vault.event.v1";

/// An event as a producer submits it. Every member is known, and nothing has been looked up yet.
#[derive(Debug)]
pub struct Submission {
    /// The stream it is for.
    pub stream_id: String,
    /// What the producer calls it.
    pub source_ref: String,
    content: Content,
}

/// What there is of it.
#[derive(Debug)]
enum Content {
    /// A canonical payload, which travels as it is.
    Payload(Zeroizing<Vec<u8>>),
    /// A hash to attest; the content stays where it is.
    Hash { hash: Digest, of: PayloadHashOf, claimed: bool },
}

impl Submission {
    /// Reads the body of a request, or a line of a batch.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let members = json::parse(body).map_err(|error| invalid(format!("not an event: {error}")))?;
        let mut members = if members.get_str("kind") == Some(EXPORTED) { submitted(members) } else { members };
        let (stream_id, source_ref) = (text(&mut members, "stream_id")?, text(&mut members, "source_ref")?);
        check_id("stream_id", &stream_id)?;
        check_id("source_ref", &source_ref)?;
        let content = content(&mut members)?;
        match members.iter().next() {
            // A name of any length is not repeated.
            Some((name, _)) if name.len() <= 64 => Err(invalid(format!("{name:?} is no member of an event with that"))),
            Some(_) => Err(invalid("a member that an event does not have")),
            None => Ok(Self { stream_id, source_ref, content }),
        }
    }

    /// Whether it is to be signed.
    pub const fn is_attested(&self) -> bool {
        matches!(self.content, Content::Hash { .. })
    }

    /// Whether its content is not here.
    pub const fn is_claimed(&self) -> bool {
        matches!(self.content, Content::Hash { claimed: true, .. })
    }

    /// Attested where that was asked for, for `producer_uid` where it came over the socket.
    pub async fn prepare(
        self,
        ingest: &Ingest,
        attestor: Option<&Attestor>,
        producer_uid: Option<u32>,
        request: Request,
    ) -> Result<Prepared, Refusal> {
        let Self { stream_id, source_ref, content } = self;
        match content {
            Content::Payload(payload) => Ok(Prepared::New(unsigned(stream_id, source_ref, payload), request)),
            Content::Hash { hash: payload_hash, of: payload_hash_of, claimed } => {
                let unavailable =
                    || Refusal::new(Code::AttestationUnavailable, "no key for attestations is configured");
                let attestor = attestor.ok_or_else(unavailable)?;
                let subject = Subject { stream_id, source_ref, payload_hash, payload_hash_of, producer_uid, claimed };
                Ok(ingest.attest(attestor, subject, request).await?)
            }
        }
    }
}

/// What an exported event was submitted with.
fn submitted(mut members: Object) -> Object {
    let kept =
        ["stream_id", "source_ref", "payload"].into_iter().filter_map(|name| Some((name, members.remove(name)?)));
    kept.fold(Object::new(), |object, (name, value)| object.with(name, value))
}

/// Exactly one of the forms that there are.
fn content(members: &mut Object) -> Result<Content, Refusal> {
    let forms = ["payload", "content", "payload_hash"].map(|name| members.remove(name));
    match forms {
        [Some(payload), None, None] => {
            let Value::Object(payload) = payload else { return Err(invalid("payload must be an object")) };
            let canonical = canonical(&payload)?;
            if !flag(members, "attest")? {
                return Ok(Content::Payload(canonical));
            }
            Ok(Content::Hash { hash: Digest::of(&canonical), of: PayloadHashOf::CanonicalJson, claimed: false })
        }
        [None, Some(content), None] => {
            let bytes = content.as_str().and_then(|text| STANDARD.decode(text).ok());
            let bytes = bytes.ok_or_else(|| invalid("content must be base64, padded"))?;
            Ok(Content::Hash { hash: Digest::of(&bytes), of: PayloadHashOf::Bytes, claimed: false })
        }
        [None, None, Some(hash)] => {
            let hash = hash.as_str().and_then(|text| text.parse().ok());
            let hash = hash.ok_or_else(|| invalid("payload_hash must be 64 hex digits"))?;
            let of = match members.remove("payload_hash_of") {
                None => PayloadHashOf::Bytes,
                Some(of) => {
                    let of = of.as_str().and_then(PayloadHashOf::from_name);
                    of.ok_or_else(|| invalid("payload_hash_of must be \"bytes\" or \"canonical-json\""))?
                }
            };
            Ok(Content::Hash { hash, of, claimed: true })
        }
        _ => Err(invalid("exactly one of payload, content and payload_hash is needed")),
    }
}

fn text(members: &mut Object, name: &'static str) -> Result<String, Refusal> {
    match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(invalid(format!("{name} must be there, and be text"))),
    }
}

fn flag(members: &mut Object, name: &'static str) -> Result<bool, Refusal> {
    match members.remove(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(invalid(format!("{name} must be true or false"))),
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::BodyInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        Submission::read(body.as_bytes()).unwrap_err().message().to_owned()
    }

    fn read(content: &str) -> Content {
        Submission::read(format!(r#"{{"stream_id":"s","source_ref":"r",{content}}}"#).as_bytes()).unwrap().content
    }

    #[test]
    fn an_event_has_one_of_three_contents() {
        assert!(matches!(read(r#""payload":{"b":1,"a":2}"#), Content::Payload(_)));
        assert!(matches!(read(r#""payload":{},"attest":false"#), Content::Payload(_)));
        let hash_of = |content| match read(content) {
            Content::Hash { hash, of, claimed } => (hash, of, claimed),
            Content::Payload(_) => panic!("a payload"),
        };
        let canonical = Digest::of(br#"{"a":2,"b":1}"#);
        assert_eq!(
            hash_of(r#""payload":{"b":1, "a":2},"attest":true"#),
            (canonical, PayloadHashOf::CanonicalJson, false)
        );
        assert_eq!(hash_of(r#""content":"aGVsbG8=""#), (Digest::of(b"hello"), PayloadHashOf::Bytes, false));
        let claimed = format!(r#""payload_hash":"{canonical}""#);
        assert_eq!(hash_of(&claimed), (canonical, PayloadHashOf::Bytes, true));
        let claimed = format!(r#""payload_hash":"{canonical}","payload_hash_of":"canonical-json""#);
        assert_eq!(hash_of(&claimed), (canonical, PayloadHashOf::CanonicalJson, true));
    }

    #[test]
    fn whatever_is_no_event_is_refused_by_name() {
        let with = |content: &str| refused(&format!(r#"{{"stream_id":"s","source_ref":"r"{content}}}"#));
        assert!(refused("[]").contains("not an object"));
        assert!(refused(r#"{"stream_id":"s","payload":{}}"#).starts_with("source_ref must be there"));
        assert!(refused(r#"{"stream_id":"","source_ref":"r","payload":{}}"#).contains("stream_id is empty"));
        assert!(refused(r#"{"stream_id":1,"source_ref":"r","payload":{}}"#).starts_with("stream_id"));
        assert!(with("").starts_with("exactly one"));
        assert!(with(r#","payload":{},"content":"""#).starts_with("exactly one"));
        assert!(with(r#","payload":[]"#).starts_with("payload must"));
        assert!(with(r#","payload":{},"attest":1"#).starts_with("attest must"));
        assert!(with(r#","content":"a""#).starts_with("content must"));
        assert!(with(r#","content":"","attest":true"#).contains("attest"));
        assert!(with(r#","payload_hash":"00""#).starts_with("payload_hash must"));
        assert!(with(r#","payload":{},"payload_hash_of":"bytes""#).contains("payload_hash_of"));
        assert!(with(r#","payload":{},"surprise":1"#).contains("surprise"));
    }
}
