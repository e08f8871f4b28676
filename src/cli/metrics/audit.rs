use std::path::Path;

use super::told::Told;
use crate::audit::{Audit, Standing};
use crate::cli::failure::Failure;
use crate::facts::Timestamp;

/// What the audit log tells: how far it has come, and how long ago that was signed.
pub(super) fn tell(told: &Told, folder: &Path, now: Timestamp) -> Result<(), Failure> {
    let Some(standing) = Standing::read(folder)? else { return Ok(()) };
    told.gauge("local_vault_audit_entries", "The number of the last entry of the audit log.", standing.seq as f64)?;
    if let Some(head_at) = standing.head_at {
        let age = (now.as_millis() - head_at.as_millis()).max(0) as f64 / 1000.0;
        let help = "How long ago a head of the audit log was signed last.";
        told.gauge("local_vault_audit_head_age_seconds", help, age)?;
    }
    Ok(())
}

/// Whether the log of this process takes entries.
pub(super) fn tell_up(told: &Told, audit: &Audit) -> Result<(), Failure> {
    let up = f64::from(u8::from(audit.failure().is_none()));
    told.gauge("local_vault_audit_up", "Whether the audit log took the last entry that was asked for.", up)
}
