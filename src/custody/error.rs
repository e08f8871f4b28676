use std::fmt;

/// What a caller does about a custody failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What is stored does not open, or a key is not what it says it is. Nothing is retried.
    Broken,
    /// The configuration names something that cannot be used: an unknown form, a loose file mode.
    Misconfigured,
    /// There is no such key.
    NotFound,
    /// The secret that opens the key was refused. **Never tried again by itself.**
    Refused,
    /// The backend cannot do this with this key.
    Unsupported,
}

/// A failure in custody: what to do (the kind), where (backend and operation), and two lines for the operator.
///
/// Neither line contains a secret, also not in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyError {
    /// What the caller does.
    pub kind: ErrorKind,
    /// Which backend failed.
    pub backend: &'static str,
    /// In which of its operations.
    pub operation: &'static str,
    /// What happened.
    pub message: String,
    /// What the operator can do.
    pub advice: String,
}

impl fmt::Display for CustodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}: {})", self.message, self.backend, self.operation)
    }
}

impl std::error::Error for CustodyError {}
