use clap::ValueEnum;

use super::syslog;
use crate::cli::output::printable;
use crate::protocol::audit::Entry;
use crate::protocol::json::Value;

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// Exactly as they stand in the files
    Jsonl,
    /// RFC 5424, a line each
    Syslog,
}

/// The same without what is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportFormat {
    /// Exactly as they stand in the files
    Jsonl,
    /// RFC 5424, a line each
    Syslog,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Jsonl => Self::Jsonl,
            ExportFormat::Syslog => Self::Syslog,
        }
    }
}

/// Writes entries in a format.
#[derive(Debug)]
pub(super) struct Writer {
    format: Format,
    host: String,
}

impl Writer {
    pub(super) fn new(format: Format) -> Self {
        Self { format, host: syslog::host() }
    }

    /// An entry, whose line in the file is `line`.
    pub(super) fn write(&self, entry: &Entry, line: String) -> String {
        match self.format {
            Format::Text => text(entry),
            Format::Jsonl => line,
            Format::Syslog => syslog::message(entry, &self.host),
        }
    }
}

/// The members of an entry but those that each has, and that stand in front.
pub(super) fn own_members(entry: &Entry) -> impl Iterator<Item = (&String, &Value)> {
    entry.object.iter().filter(|(name, _)| !["kind", "pid", "seq", "time"].contains(&name.as_str()))
}

/// Time, number, kind, process, and each member that there is.
fn text(entry: &Entry) -> String {
    let pid = entry.object.get("pid").and_then(Value::as_i64).unwrap_or_default();
    let mut text = format!("{} {} {} pid={pid}", entry.time, entry.seq, printable(&entry.kind));
    for (name, value) in own_members(entry) {
        if *value != Value::Null {
            text.push_str(&format!(" {}={}", printable(name), shown(value)));
        }
    }
    text
}

/// Text as it is where it is one word, and everything else as JSON.
fn shown(value: &Value) -> String {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic() && c != b'"' && c != b'=');
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        other => printable(&other.to_python_text()),
    }
}
