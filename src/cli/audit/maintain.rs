use std::sync::Arc;

use super::{files, unread};
use crate::audit::{self, Audit, Pruned, Standing};
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::protocol::json::Object;

pub(super) fn prune(vault: &Vault, before: Moment, yes: bool) -> Result<u8, Failure> {
    let folder = &vault.settings.audit.folder;
    files(folder)?;
    let Some(pruned) = audit::prunable(folder, before.at(vault.clock.now()))? else {
        Output::new().line("nothing to prune: no file's entries are all older than that")?;
        return Ok(0);
    };
    let Pruned { files, through, .. } = &pruned;
    let what = format!("{} of the audit log, with the entries up to {through},", counted(files.len()));
    if !yes {
        let advice =
            "There is no way back: `local-vault audit export` keeps them elsewhere. Say --yes where it is meant.";
        return Err(Failure::usage(format!("{what} would be taken away"), advice));
    }
    let audit = signing(vault)?;
    audit::prune(&audit, folder, &pruned)?;
    Output::new().line(&format!("{what} taken away, as a signed entry says"))?;
    Ok(0)
}

/// The log, where it can sign for what it no longer has.
fn signing(vault: &Vault) -> Result<Arc<Audit>, Failure> {
    vault.record_key()?;
    let audit = vault.audit()?;
    if audit.sign_head_blocking() {
        return Ok(audit);
    }
    let advice = "Nothing was taken away: what is missing must be signed for. `custody report` shows the record key.";
    Err(Failure::unavailable("the record key signs no head of the audit log", advice))
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".into() } else { format!("{files} files") }
}

/// Puts a damaged log aside.
pub(super) fn recover(vault: &Vault, reason: &str) -> Result<(), Failure> {
    let folder = &vault.settings.audit.folder;
    if audit::begun(folder).map_err(unread)?.is_none() {
        files(folder)?;
    }
    let recovered = audit::recover(folder, reason, &*vault.clock)?.ok_or_else(|| {
        Failure::refused("the audit log is not damaged", "Nothing was done. Where it is an older copy of itself, or others signed it, move the folder away, then try again.")
    })?;
    let output = Output::new();
    output.line(&format!("what was there of the old log lies in {}", printable(&recovered.kept.to_string_lossy())))?;
    output.line(&format!("{} begins, and names it", recovered.log_id))
}

pub(super) fn head(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let folder = &vault.settings.audit.folder;
    files(folder)?;
    let standing = Standing::read(folder)?.ok_or_else(|| {
        let advice = "`local-vault audit verify` finds it out from the log itself.";
        Failure::data(format!("nothing is noted of where the audit log in {} stands", folder.display()), advice)
    })?;
    let Standing { log_id, seq, hash, head_at } = standing;
    let output = Output::new();
    if json {
        let object = Object::new().with("logId", log_id).with("seq", seq).with("hash", hash.to_string());
        output.json(&object.with("headAt", head_at.map(|at| at.to_string())))?;
    } else {
        output.line(&format!("{}:{seq}:{hash}", printable(&log_id)))?;
    }
    Ok(0)
}
