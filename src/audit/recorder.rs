use super::{Audit, AuditError, Event};
use crate::custody::{CustodyError, ErrorKind, KeyUse, Recorder, Recording};
use crate::facts::Digest;

impl Recorder for Audit {
    fn record(&self, used: &KeyUse<'_>) -> Recording<'_> {
        let event = Event::key_used(used);
        Box::pin(async { Ok(Self::record(self, vec![event]).await?) })
    }

    fn record_blocking(&self, used: &KeyUse<'_>) -> Result<(), CustodyError> {
        Ok(Self::record_blocking(self, vec![Event::key_used(used)])?)
    }

    fn destroyed(&self, key_id: &str, wrapped: &Digest) {
        self.note(Event::epoch_destroyed(key_id, wrapped));
    }

    fn failed(&self, key: &str, request: Option<&str>, error: &CustodyError) {
        if error.is_a_refused_secret() {
            self.note_refusal();
        }
        self.note(Event::key_failed(key, request, error));
    }
}

/// For whoever holds a key and not the log.
impl From<AuditError> for CustodyError {
    fn from(error: AuditError) -> Self {
        let (kind, advice) = match error {
            AuditError::Busy(_) => (ErrorKind::Away, "Nothing was signed. Try again."),
            AuditError::Closed => (ErrorKind::Away, "Nothing was signed; this process is ending."),
            AuditError::Damaged { .. } => (
                ErrorKind::Broken,
                "Nothing was signed. Look at it with `local-vault audit verify` before anything else.",
            ),
            AuditError::Full(_) => (ErrorKind::DiskFull, "Nothing was signed. Make room; it goes on by itself."),
            AuditError::Io { .. } => (ErrorKind::Disk, "Nothing was signed. Check the disk, then start again."),
        };
        Self::new(kind, "audit", "record", error.to_string(), advice)
    }
}
