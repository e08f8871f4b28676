use std::fmt;

/// Who operates a witness (section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// An auditor or assurer.
    Assurance,
    /// Attesto itself.
    AttestoOperated,
    /// The customer, on their own machines.
    CustomerOperated,
    /// A partner of either.
    Partner,
}

impl Role {
    const ALL: [Self; 4] = [Self::Assurance, Self::AttestoOperated, Self::CustomerOperated, Self::Partner];

    /// The name in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assurance => "assurance",
            Self::AttestoOperated => "attesto-operated",
            Self::CustomerOperated => "customer-operated",
            Self::Partner => "partner",
        }
    }

    /// The role of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
