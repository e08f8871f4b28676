//! `[audit]`: where the audit log lies, and in which stream its heads go to the platform.

use std::path::{Path, PathBuf};

use super::reader::Section;
use crate::facts::with_suffix;

/// Where it is written down what was asked for and what keys were used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// The folder of the log.
    pub folder: PathBuf,
    /// The stream in which signed heads are spooled, where they are.
    pub stream_id: Option<String>,
}

/// What a config file says of it.
#[derive(Debug, Default)]
pub(super) struct FileAudit {
    path: Option<PathBuf>,
    stream_id: Option<String>,
}

/// `[audit]` of a config file.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> FileAudit {
    let audit = FileAudit { path: section.path("path", folder), stream_id: section.text("stream_id") };
    section.end();
    audit
}

impl FileAudit {
    /// The log lies beside the spool, unless another place is named. A host that only witnesses names no spool: then it
    /// lies beside the witness's database.
    pub(super) fn settle(self, spool: Option<&Path>, witness: Option<&Path>, usual: &Path) -> AuditSettings {
        let beside = || with_suffix(spool.or(witness).unwrap_or(usual), ".audit");
        AuditSettings { folder: self.path.unwrap_or_else(beside), stream_id: self.stream_id }
    }
}
