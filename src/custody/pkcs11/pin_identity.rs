use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::custody::{CustodyError, PinSource};

impl PinSource {
    /// What tells this source from the one it was before: a refused PIN is not tried again until this changes. A
    /// secret has no part in it, since this is written down. `None`: somebody types it anew each time.
    pub(super) fn identity(&self) -> Result<Option<String>, CustodyError> {
        match self {
            Self::File(path) => {
                // Whichever folder a process runs in, it is the same file.
                let path = fs::canonicalize(path).map_err(|e| self.unreadable(&e.to_string()))?;
                let meta = fs::metadata(&path).map_err(|e| self.unreadable(&e.to_string()))?;
                let place = format!("file {} {}:{}", path.display(), meta.dev(), meta.ino());
                Ok(Some(format!("{place} {} {}.{:09}", meta.size(), meta.mtime(), meta.mtime_nsec())))
            }
            // Whether these hold something new cannot be seen from outside, and systemd makes credentials anew at each
            // start. `custody retry-pin` says so for them.
            Self::Command(words) => Ok(Some(format!("command {}", words.join(" ")))),
            Self::Credential(name) => Ok(Some(format!("credential {name}"))),
            Self::Environment(name) => Ok(Some(format!("variable {name}"))),
            Self::Prompt => Ok(None),
        }
    }

    /// How the operator has a new PIN tried after one was refused.
    pub(super) fn after_refusal(&self) -> String {
        match self {
            Self::File(path) => format!("Check {}; it will not be tried again until that changes.", path.display()),
            Self::Prompt => "Check the PIN before you try again.".into(),
            source => format!(
                "Check {}; it will not be tried again until you run: local-vault custody retry-pin",
                source.name()
            ),
        }
    }
}
