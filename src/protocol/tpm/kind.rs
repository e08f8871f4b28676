/// What holds a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TpmKind {
    /// A chip of its own.
    Discrete,
    /// It cannot be told: firmware in a processor, or a maker that is not in the list.
    Unknown,
    /// A program of the host that this machine runs on: whoever runs the host has everything in it.
    Vtpm,
}

impl TpmKind {
    /// The name as reports and records write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Unknown => "unknown",
            Self::Vtpm => "vtpm",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Discrete, Self::Unknown, Self::Vtpm].into_iter().find(|kind| kind.name() == name)
    }
}
