use clap::ValueEnum;

use super::reader::Section;

/// From which level on the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    #[default]
    Warn,
    /// What became of each event.
    Info,
    /// Each step on its way.
    Debug,
    /// What the libraries say, too.
    Trace,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people, on standard error.
    Text,
    /// A JSON object a line, on standard error.
    Json,
    /// To the journal, each field as a field.
    Journald,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// From this level on.
    pub level: LogLevel,
    /// `None`: as it fits standard error.
    pub format: Option<LogFormat>,
    /// Whether the last lines are kept in memory, too.
    pub keeps_lines: bool,
}

/// `[log]` of a config file.
#[derive(Debug, Default)]
pub(super) struct FileLog {
    pub(super) level: Option<LogLevel>,
    pub(super) format: Option<LogFormat>,
}

pub(super) fn read(mut section: Section<'_>) -> FileLog {
    let levels = "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    let level = section.parsed("level", levels, |text| LogLevel::from_str(text, false).ok());
    let formats = "\"text\", \"json\" or \"journald\"";
    let format = section.parsed("format", formats, |text| LogFormat::from_str(text, false).ok());
    section.end();
    FileLog { level, format }
}
