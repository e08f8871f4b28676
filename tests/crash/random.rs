use std::env;

/// Numbers that a printed seed brings back (xorshift64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Any seed but 0, which has no successor.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Reads a number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seed of a run: of the environment, or another one each time. Printed, so that it brings a failure back.
pub(crate) fn seed(what: &str) -> u64 {
    let seed = setting("LOCAL_VAULT_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{what}, with LOCAL_VAULT_CRASH_SEED={seed}");
    seed
}
