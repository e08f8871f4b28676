use std::collections::VecDeque;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::audit::{Reader, files};
use crate::cli::failure::Failure;
use crate::protocol::json::{Object, Value};

/// Entries that are told of.
const LAST: usize = 200;

/// Members whose text is a fixed word, a number, a time or a hash of ours. Every other text may be a name.
const PLAIN: [&str; 23] = [
    "attempt",
    "backend",
    "code",
    "command",
    "device_code",
    "domain",
    "error",
    "first",
    "hash",
    "kind",
    "last",
    "operation",
    "previous_hash",
    "purpose",
    "request",
    "scheme",
    "state",
    "time",
    "uid",
    "until",
    "verdict",
    "version",
    "why",
];

/// Stands for names in one bundle. Its key is kept nowhere, so that nobody finds a name by hashing what it may be.
struct Hidden([u8; 32]);

/// The last entries of the log, a line each. Names are hashed, so that the same one can be told from others.
pub(super) fn last(folder: &Path) -> Result<String, Failure> {
    // A file holds more than that; where the last one has just begun, the one before it is read as well.
    let files = files(folder)?;
    let from = files.get(files.len().saturating_sub(2));
    let Some(from) = from else { return Ok("There is no audit log.\n".into()) };
    let mut reader = Reader::open_at(folder, from)?;
    let mut last = VecDeque::new();
    while let Some((entry, _)) = reader.next_entry()? {
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(entry.object);
    }
    let mut hidden = Hidden([0; 32]);
    getrandom::fill(&mut hidden.0)
        .map_err(|e| Failure::unavailable(format!("the kernel has no randomness: {e}"), ""))?;
    Ok(last.iter().map(|entry| hidden.without_names(entry).to_python_line() + "\n").collect())
}

impl Hidden {
    fn without_names(&self, entry: &Object) -> Object {
        entry.iter().fold(Object::new(), |told, (name, value)| told.with(name, self.plain(name, value)))
    }

    fn plain(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if !PLAIN.contains(&name) => self.tag(text).into(),
            Value::Object(inner) => self.without_names(inner).into(),
            Value::Array(items) => items.iter().map(|item| self.plain(name, item)).collect::<Vec<_>>().into(),
            other => other.clone(),
        }
    }

    fn tag(&self, name: &str) -> String {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(name.as_bytes());
        format!("hmac:{}", hex::encode(&mac.finalize().into_bytes()[..8]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashed_and_all_else_is_told() {
        let entry = Object::new().with("kind", "Checkpoint").with("seq", 7_u32).with("stream_id", "invoices");
        let hidden = Hidden([1; 32]);
        let told = hidden.without_names(&entry.with("inner", Object::new().with("tenant_id", "acme")));
        assert_eq!((told.get_str("kind"), told.get("seq").and_then(Value::as_i64)), (Some("Checkpoint"), Some(7)));
        let text = told.to_python_line();
        assert!(
            text.contains("\"stream_id\": \"hmac:") && !text.contains("invoices") && !text.contains("acme"),
            "{text}"
        );
        // The same name is the same within a bundle, and nothing that anybody else can compute.
        assert_eq!(hidden.tag("acme"), hidden.tag("acme"));
        assert_ne!(hidden.tag("acme"), hidden.tag("invoices"));
        assert_ne!(hidden.tag("acme"), Hidden([2; 32]).tag("acme"));
    }
}
