use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::output::{Output, printable};
use crate::audit::{Audit, Event};
use crate::custody::file::RootKey;
use crate::spool::import::{ImportError, OpenPublished, check_published};
use crate::spool::{Spool, SpoolError};
use crate::witness::Witness;

/// Refuses a published spool that could not be imported, before ours is made for it. One that was made under the wrong
/// key would refuse the right one ever after.
pub(super) fn check_spool(ours: &Path, source: &Path, root: Arc<RootKey>) -> Result<(), Failure> {
    let open: OpenPublished = Arc::new(move |token| root.open_published(token));
    Ok(check_published(source, ours, &open)?)
}

/// The same while a spool is opened, for whatever it is opened for: where the door is closed, what lies there waits, and
/// what waits in ours can be sent and purged all the same.
pub(super) async fn spool_on_opening(
    spool: &Spool,
    ours: &Path,
    source: &Path,
    root: Arc<RootKey>,
    audit: &Audit,
) -> Result<(), Failure> {
    match import_spool(spool, ours, source, root, audit).await {
        Err(ImportError::Spool(e @ (SpoolError::Full { .. } | SpoolError::Maintenance { .. }))) => {
            let source = printable(&source.to_string_lossy());
            Output::new().note(&format!("Nothing was imported from {source}: {}.", printable(&e.to_string())));
            Ok(())
        }
        imported => Ok(imported?),
    }
}

/// Imports the published spool at `source` into ours, and tells of it where anything was new.
pub(super) async fn import_spool(
    spool: &Spool,
    ours: &Path,
    source: &Path,
    root: Arc<RootKey>,
    audit: &Audit,
) -> Result<(), ImportError> {
    let open: OpenPublished = Arc::new(move |token| root.open_published(token));
    let imported = spool.import(source, ours, open).await?;
    if let Some(imported) = imported.filter(|imported| imported.new_events() > 0) {
        let what = format!("{} queued, {} delivered, {} dead", imported.queued, imported.delivered, imported.dead);
        audit.note(Event::imported(&format!("spool: {what}")));
        tell(source, ours, &what);
    }
    Ok(())
}

/// Imports the published witness database at `source` into ours, and tells of it where anything was new.
pub(super) fn witness(witness: &mut Witness, ours: &Path, source: &Path, audit: &Audit) -> Result<(), Failure> {
    let imported = witness.import(source, ours)?;
    if imported.heads + imported.receipts + imported.forks > 0 {
        let (heads, receipts, forks) = (imported.heads, imported.receipts, imported.forks);
        let what = format!("{heads} heads, {receipts} receipts, {forks} fork evidence");
        audit.note(Event::imported(&format!("witness: {what}")));
        tell(source, ours, &what);
    }
    Ok(())
}

fn tell(source: &Path, ours: &Path, what: &str) {
    let (source, ours) = (printable(&source.to_string_lossy()), printable(&ours.to_string_lossy()));
    Output::new().note(&format!("Imported from {source}: {what}. It was only read; ours is {ours}."));
}
