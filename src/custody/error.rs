use std::fmt;

/// What a caller does about a custody failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The device does not answer, or is not there. Nothing was done; the same call may do it later.
    Away,
    /// What is stored does not open, or a key is not what it says it is. Nothing is retried.
    Broken,
    /// The disk fails. Nothing was done.
    Disk,
    /// The disk is full. Nothing was done.
    DiskFull,
    /// The configuration names something that cannot be used: an unknown form, a loose file mode, a key that may be
    /// extracted.
    Misconfigured,
    /// There is no such key.
    NotFound,
    /// The secret that opens the key was refused. **Never tried again by itself.**
    Refused,
    /// The backend cannot do this with this key.
    Unsupported,
}

impl ErrorKind {
    /// The name as logs write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Broken => "broken",
            Self::Disk => "disk",
            Self::DiskFull => "disk-full",
            Self::Misconfigured => "misconfigured",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
        }
    }
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
    /// In which of its operations; the function's name where it was a device's.
    pub operation: &'static str,
    /// What the device said, by its own name for it.
    pub code: Option<String>,
    /// What happened.
    pub message: String,
    /// What the operator can do.
    pub advice: String,
}

impl CustodyError {
    /// Whether a PIN, passphrase or password was tried and is wrong. One that was only held back is none.
    pub fn is_a_refused_secret(&self) -> bool {
        let asked = matches!(self.operation, "C_Login" | "decrypt");
        let by_code = self.code.as_deref().is_some_and(|code| code.contains("AUTH"));
        self.kind == ErrorKind::Refused && (asked || by_code)
    }

    /// The kind, where it failed and what the device said, without a name of a key or a file: for the log.
    pub fn origin(&self) -> String {
        format!("{} ({})", self.kind.name(), self.place())
    }

    fn place(&self) -> String {
        match &self.code {
            Some(code) => format!("{}: {code}", self.operation),
            None => format!("{}: {}", self.backend, self.operation),
        }
    }

    /// A failure that no device told of.
    pub fn new(
        kind: ErrorKind,
        backend: &'static str,
        operation: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { kind, backend, operation, code: None, message: message.into(), advice: advice.into() }
    }
}

impl fmt::Display for CustodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.place())
    }
}

impl std::error::Error for CustodyError {}
