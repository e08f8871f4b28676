use crate::facts::Digest;
use crate::protocol::audit::START;

/// How far back a signed head may point: others may have written while it was signed.
pub(super) const REACH: usize = 1 << 18;

/// The hashes of the last entries, by their number.
#[derive(Debug, Default)]
pub(super) struct Trail {
    hashes: Vec<Digest>,
    first: u64,
    last: u64,
}

impl Trail {
    /// The hash of the next entry.
    pub(super) fn add(&mut self, seq: u64, hash: Digest) {
        if self.hashes.is_empty() {
            self.first = seq;
        }
        self.last = seq;
        let at = self.place(seq);
        if self.hashes.len() <= at {
            self.hashes.resize(at + 1, START);
        }
        self.hashes[at] = hash;
    }

    /// The hash of an entry at most [`REACH`] before the last one.
    pub(super) fn hash_of(&self, seq: u64) -> Option<Digest> {
        let is_here = (self.first..=self.last).contains(&seq) && self.last - seq < REACH as u64;
        is_here.then(|| self.hashes.get(self.place(seq)).copied()).flatten()
    }

    fn place(&self, seq: u64) -> usize {
        usize::try_from((seq - self.first) % REACH as u64).unwrap_or(0)
    }
}
