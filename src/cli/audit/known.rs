use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use crate::audit::{AuditError, KnownHead, Reader, Verified};
use crate::cli::failure::Failure;
use crate::cli::vault::Vault;
use crate::facts::Digest;
use crate::protocol::audit::Entry;
use crate::protocol::json::{Object, Value};
use crate::spool::{Filter, State};

/// Events that are read at once.
const PAGE: usize = 500;

/// Reads `LOG:SEQ:HASH`, as `audit head` prints it, and `audit:LOG:SEQ:HASH`, as the platform knows it.
pub(super) fn parse(text: &str) -> Result<KnownHead, String> {
    let read = || {
        let mut parts = text.strip_prefix("audit:").unwrap_or(text).rsplitn(3, ':');
        let hash = Digest::from_str(parts.next()?).ok()?;
        let seq = parts.next()?.parse().ok()?;
        let log_id = parts.next().filter(|log_id| !log_id.is_empty())?.to_owned();
        Some(KnownHead { log_id, seq, hash })
    };
    read().ok_or_else(|| "expected LOG:SEQ:HASH, as `local-vault audit head` prints it".to_owned())
}

/// The heads that the platform has acknowledged, by the spool. No key is needed for that.
pub(super) fn acknowledged(vault: &Vault) -> Result<Vec<KnownHead>, Failure> {
    let Some(stream_id) = &vault.settings.audit.stream_id else { return Ok(Vec::new()) };
    if !vault.spool_path()?.exists() {
        return Ok(Vec::new());
    }
    let reader = vault.reader().map_err(|e| e.about("the heads that the platform has"))?;
    let (mut heads, mut after) = (Vec::new(), 0);
    loop {
        let filter = Filter { state: Some(State::Receipted), stream_id: Some(stream_id.clone()), after, limit: PAGE };
        let page = reader.list(&filter)?;
        let Some(last) = page.last() else { return Ok(heads) };
        after = last.seq;
        let refs = page.iter().filter(|event| event.source_ref.starts_with("audit:"));
        heads.extend(refs.filter_map(|event| parse(&event.source_ref).ok()));
    }
}

/// What becomes of heads that others hold, of this log and of other ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Of entries that were pruned, so that there is nothing to compare.
    pub(super) pruned: usize,
    /// Of logs that this one took the place of, by its own first entry.
    pub(super) replaced: BTreeSet<String>,
    /// Of other logs, where this one's first entry was pruned and says nothing any more.
    pub(super) unjudged: BTreeSet<String>,
    /// Of logs of which this one knows nothing.
    pub(super) foreign: BTreeSet<String>,
}

/// Sorts the heads that others hold by whether the log that verified accounts for them.
pub(super) fn judge(folder: &Path, verified: &Verified, known: &[KnownHead]) -> Result<Held, AuditError> {
    let (ours, others): (Vec<_>, Vec<_>) = known.iter().partition(|head| head.log_id == verified.log_id);
    let pruned = ours.iter().filter(|head| head.seq < verified.first).count();
    let others: BTreeSet<String> = others.into_iter().map(|head| head.log_id.clone()).collect();
    let held = Held { pruned, ..Held::default() };
    if others.is_empty() {
        return Ok(held);
    }
    if verified.first > 1 {
        return Ok(Held { unjudged: others, ..held });
    }
    let before = places_taken(folder)?;
    let (replaced, foreign) = others.into_iter().partition(|log_id| before.contains(log_id));
    Ok(Held { replaced, foreign, ..held })
}

/// The logs that the one in this folder took the place of: the last by its own first entry, those before by the first
/// entries of what was put aside.
fn places_taken(folder: &Path) -> Result<BTreeSet<String>, AuditError> {
    let mut before: BTreeSet<String> = first_entry(folder)?.and_then(|entry| place_taken(&entry)).into_iter().collect();
    let mut aside = Vec::new();
    for kept in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !kept.file_name().to_string_lossy().starts_with("damaged-") {
            continue;
        }
        // What does not read any more names nothing.
        let first = first_entry(&kept.path()).ok().flatten();
        let names = first.and_then(|entry| Some((entry.object.get_str("log_id")?.to_owned(), place_taken(&entry)?)));
        aside.extend(names);
    }
    while let Some(at) = aside.iter().position(|(log_id, _)| before.contains(log_id)) {
        before.insert(aside.swap_remove(at).1);
    }
    Ok(before)
}

fn first_entry(folder: &Path) -> Result<Option<Entry>, AuditError> {
    Ok(Reader::open(folder, None)?.next_entry()?.map(|(entry, _)| entry))
}

fn place_taken(entry: &Entry) -> Option<String> {
    let after = entry.object.get("after").and_then(Value::as_object);
    after.and_then(|after: &Object| after.get_str("log_id")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_is_printed_and_as_the_platform_knows_it() {
        let hash = Digest::of(b"entry");
        let head = KnownHead { log_id: "log_1".into(), seq: 17, hash };
        assert_eq!(parse(&format!("log_1:17:{hash}")).as_ref(), Ok(&head));
        assert_eq!(parse(&format!("audit:log_1:17:{hash}")).as_ref(), Ok(&head));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let hash = Digest::of(b"entry");
        for text in ["", "log_1", "log_1:17", &format!("17:{hash}"), &format!(":17:{hash}"), &format!("l:-1:{hash}")] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("log_1:17:00").is_err());
    }
}
