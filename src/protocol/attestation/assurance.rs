/// How well the relay key is kept, by what can be shown of it. Ordered: a later one shows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// A key that is in memory while it signs: in software, or released by a TPM.
    L0,
    /// A key that does not leave its token, by the vault's own word.
    L1,
    /// The same, and a TPM's quote over what is running.
    L2,
}

impl Assurance {
    /// All of them, and what they are called together.
    pub const EXPECTED: &str = "L0, L1 or L2";

    /// The name as configuration and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::L0 => "L0",
            Self::L1 => "L1",
            Self::L2 => "L2",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::L0, Self::L1, Self::L2].into_iter().find(|level| level.name() == name)
    }
}
