use std::collections::VecDeque;
use std::path::Path;

use crate::audit::{Reader, files};
use crate::cli::failure::Failure;
use crate::facts::Digest;
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
    Ok(last.iter().map(|entry| without_names(entry).to_python_line() + "\n").collect())
}

fn without_names(entry: &Object) -> Object {
    entry.iter().fold(Object::new(), |told, (name, value)| told.with(name, plain(name, value)))
}

fn plain(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if !PLAIN.contains(&name) => {
            Value::from(format!("sha256:{}", &Digest::of(text.as_bytes()).to_string()[..16]))
        }
        Value::Object(inner) => without_names(inner).into(),
        Value::Array(items) => items.iter().map(|item| plain(name, item)).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashed_and_all_else_is_told() {
        let entry = Object::new().with("kind", "Checkpoint").with("seq", 7_u32).with("stream_id", "invoices");
        let told = without_names(&entry.with("inner", Object::new().with("tenant_id", "acme")));
        assert_eq!((told.get_str("kind"), told.get("seq").and_then(Value::as_i64)), (Some("Checkpoint"), Some(7)));
        let text = told.to_python_line();
        assert!(
            text.contains("\"stream_id\": \"sha256:") && !text.contains("invoices") && !text.contains("acme"),
            "{text}"
        );
    }
}
