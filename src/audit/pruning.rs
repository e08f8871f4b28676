use std::path::Path;

use super::trail::Trail;
use super::verify::{Finding, VerifyError};
use crate::facts::Digest;
use crate::protocol::audit::{Entry, START};
use crate::protocol::json::Value;

/// What is missing from the beginning of a log, and what the log says of that.
#[derive(Debug)]
pub(super) struct Pruning {
    /// The last entry that is missing; 0 where none is.
    missing: u64,
    /// Its hash, as the first one that is here says it.
    before: Digest,
    /// The entry that says how far it was pruned, and through where.
    said: Option<(u64, u64)>,
}

impl Default for Pruning {
    fn default() -> Self {
        Self { missing: 0, before: START, said: None }
    }
}

impl Pruning {
    /// The first entry that is here follows on `missing`.
    pub(super) const fn begin(&mut self, missing: u64, before: Digest) {
        (self.missing, self.before) = (missing, before);
    }

    /// An entry that says what was pruned.
    pub(super) fn read(&mut self, entry: &Entry, trail: &Trail) -> Result<(), &'static str> {
        let through = entry.object.get("through").and_then(Value::as_i64).and_then(|seq| u64::try_from(seq).ok());
        let hash = entry.object.get_str("hash").and_then(|hash| hash.parse::<Digest>().ok());
        let (through, hash) = through.zip(hash).ok_or("it does not say what was pruned")?;
        let there = if through == self.missing { Some(self.before) } else { trail.hash_of(through) };
        if there.is_some_and(|there| there != hash) {
            return Err("it says that another entry was pruned than the one that was there");
        }
        if self.said.is_none_or(|(_, said)| said <= through) {
            self.said = Some((entry.seq, through));
        }
        Ok(())
    }

    /// Files are gone from the beginning only where an entry says so that a signed head covers.
    pub(super) fn check(&self, folder: &Path, signed: u64) -> Result<(), VerifyError> {
        let missing = self.missing;
        if missing == 0 || self.said.is_some_and(|(entry, through)| through >= missing && entry <= signed) {
            return Ok(());
        }
        let what = format!("entries 1 to {missing} are missing, and no signed entry says that they were pruned");
        Err(VerifyError::Found(Finding { path: folder.to_owned(), line: None, seq: 1, what }))
    }
}
