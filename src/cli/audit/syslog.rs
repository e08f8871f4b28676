use super::format::own_members;
use crate::audit::{Severity, severity};
use crate::protocol::audit::Entry;
use crate::protocol::json::Value;

/// Facility 13, log audit (RFC 5424, section 6.2.1).
const FACILITY: u8 = 13;

/// The number that RFC 5612 keeps free for documentation: we have none of our own.
const ENTERPRISE: &str = "32473";

/// An entry as a message of RFC 5424, without an end of line, of which there is none in it either. Its text is the
/// entry's canonical JSON: escaped ASCII controls, no byte order mark.
pub(super) fn message(entry: &Entry, host: &str) -> String {
    let priority = FACILITY * 8 + level(&entry.kind);
    let pid = entry.object.get("pid").and_then(Value::as_i64).map_or_else(|| "-".into(), |pid| pid.to_string());
    let head = format!("<{priority}>1 {} {} local-vault {pid} {}", entry.time, name(host, 255), name(&entry.kind, 32));
    let text = String::from_utf8_lossy(&entry.object.to_canonical()).into_owned();
    format!("{head} [audit@{ENTERPRISE} seq=\"{}\" hash=\"{}\"]{} {text}", entry.seq, entry.hash, members(entry))
}

fn level(kind: &str) -> u8 {
    match severity(kind) {
        Severity::Alert => 1,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
    }
}

/// The entry's own members, apart from the first element: some of them are called `hash` as well.
fn members(entry: &Entry) -> String {
    let mut element = String::new();
    for (name, value) in own_members(entry) {
        let text = match value {
            Value::String(text) => escaped(text),
            Value::Integer(number) => number.digits().into_owned(),
            _ => continue,
        };
        element.push_str(&format!(" {name}=\"{text}\""));
    }
    if element.is_empty() { element } else { format!("[entry@{ENTERPRISE}{element}]") }
}

/// A value as RFC 5424 has it (section 6.3.3). What is a control becomes `#` and its number in octal, as syslog servers
/// write it: the text behind has it unchanged.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' | ']' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push_str(&format!("#{:03o}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// A field of the head: printable ASCII without blanks, or `-`.
fn name(text: &str, longest: usize) -> String {
    let name: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if name.is_empty() { "-".into() } else { name }
}

/// What this machine calls itself.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Digest;
    use crate::protocol::audit::{START, write_line};
    use crate::protocol::json::Object;

    fn entry(kind: &str, members: Object) -> Entry {
        let object =
            members.with("seq", 7_u32).with("time", "2026-01-31T12:00:00.000Z").with("kind", kind).with("pid", 42_u32);
        let mut line = Vec::new();
        write_line(&mut line, &START, &object);
        line.pop();
        Entry::read(&line).unwrap()
    }

    #[test]
    fn an_entry_is_one_message_of_rfc_5424() {
        let entry = entry("CommandBegun", Object::new().with("command", "spool rotate").with("uid", 1000_u32));
        let hash = entry.hash;
        assert_eq!(
            message(&entry, "edge-07"),
            format!(
                "<109>1 2026-01-31T12:00:00.000Z edge-07 local-vault 42 CommandBegun [audit@32473 seq=\"7\" \
                 hash=\"{hash}\"][entry@32473 command=\"spool rotate\" uid=\"1000\"] {{\"command\":\"spool rotate\",\
                 \"kind\":\"CommandBegun\",\"pid\":42,\"seq\":7,\"time\":\"2026-01-31T12:00:00.000Z\",\"uid\":1000}}"
            )
        );
    }

    #[test]
    fn the_priority_says_how_much_it_matters() {
        for (kind, priority) in [("KeyUsed", 110), ("KeyMade", 109), ("KeyFailed", 108), ("PinRefused", 105)] {
            let message = message(&entry(kind, Object::new()), "h");
            assert!(message.starts_with(&format!("<{priority}>1 ")), "{message}");
        }
    }

    #[test]
    fn nothing_in_a_value_ends_it_or_the_line() {
        let entry = entry("Incident", Object::new().with("what", "a\"b\\c]d\ne\u{7f}\u{85}é"));
        let message = message(&entry, "h");
        assert!(message.contains(" what=\"a\\\"b\\\\c\\]d#012e#177#205é\"]"), "{message}");
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn members_have_an_element_of_their_own_and_what_is_neither_text_nor_number_is_not_among_them() {
        let hash = Digest::of(b"signed").to_string();
        let signed = entry("KeyUsed", Object::new().with("hash", hash.as_str()).with("request", None::<String>));
        assert!(message(&signed, "h").contains(&format!("\"][entry@32473 hash=\"{hash}\"] {{")));
        assert!(!message(&entry("FileEnded", Object::new()), "h").contains("entry@"));
    }

    #[test]
    fn a_name_that_no_message_can_carry_is_left_out() {
        assert!(message(&entry("KeyMade", Object::new()), "").contains("Z - local-vault 42 "));
        assert!(message(&entry("KeyMade", Object::new()), "a b\né").contains("Z ab local-vault 42 "));
    }
}
