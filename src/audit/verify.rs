use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::check::Check;
use super::folder::{Folder, LogFile};
use super::note::Standing;
use crate::facts::{Digest, Timestamp};
use crate::protocol::PublicKey;

/// A head that somebody else holds: the platform's receipt for one, or what an operator wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// Which log.
    pub log_id: String,
    /// The number of its last entry then.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Digest,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Which log.
    pub log_id: String,
    /// The number of the first entry that is here; those before it were pruned.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the last.
    pub hash: Digest,
    /// Signed heads.
    pub heads: u64,
    /// The number up to which a signed head covers the log, and when it was signed. What stands behind it is safe from
    /// the disk, and not from whoever may write to it.
    pub signed: Option<(u64, Timestamp)>,
    /// The keys that signed heads.
    pub keys: Vec<PublicKey>,
    /// Heads that somebody else holds, and that are in the log as they say.
    pub known: u64,
    /// Whether a note of the log's end lay beside it. Without one, lines that were cut off its end are missed only by
    /// heads that somebody else holds.
    pub has_note: bool,
    /// What a crash left behind the last whole line, in bytes; the next process that writes cuts it off.
    pub torn: u64,
}

/// The first thing that is wrong with a log. Nothing behind it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {what}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// The line in it, from 1, where it is about one.
    pub line: Option<u64>,
    /// The number of the entry that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

/// Why a log does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It was changed, by somebody or by the disk.
    #[error("entry {}: {_0}", _0.seq)]
    Found(Finding),
    /// It could not be read, which says nothing about it.
    #[error(transparent)]
    Unread(#[from] AuditError),
}

/// Verifies a log from its first entry to its last. `trusted`: the keys that may sign heads; where there is none, each
/// is believed, and named in what comes back. `known`: heads that somebody else holds. `read` is told how many bytes
/// were read, now and then.
pub fn verify(
    folder: &Path,
    trusted: &[PublicKey],
    known: &[KnownHead],
    read: &mut dyn FnMut(u64),
) -> Result<Verified, VerifyError> {
    let folder = Folder::new(folder);
    // Nobody is in the middle of a line while the sizes are taken. A copy may lie where no lock can be made.
    let turn = folder.turn().ok();
    let sized = Sized::take(&folder)?;
    drop(turn);
    sized.verify(&folder, trusted, known, read)
}

/// The same for whoever has the turn.
pub(super) fn verify_held(
    folder: &Folder,
    trusted: &[PublicKey],
    known: &[KnownHead],
    read: &mut dyn FnMut(u64),
) -> Result<Verified, VerifyError> {
    Sized::take(folder)?.verify(folder, trusted, known, read)
}

/// What there is to verify at one moment.
struct Sized {
    /// The note of its end, or what is wrong with it.
    standing: Result<Option<Standing>, String>,
    /// What the log was called when it was begun. A copy of the folder has no such name beside it.
    log_id: Option<String>,
    files: Vec<(LogFile, Metadata)>,
}

impl Sized {
    fn take(folder: &Folder) -> Result<Self, AuditError> {
        let standing = match Standing::read(folder.path()) {
            Err(AuditError::Damaged { what, .. }) => Err(what),
            standing => Ok(standing?),
        };
        let log_id = folder.log_id()?;
        let files = match folder.files() {
            // It is missed where its name is there.
            Err(_) if log_id.is_some() && !folder.path().exists() => Vec::new(),
            files => files?,
        };
        let sized = |file: LogFile| match fs::symlink_metadata(&file.path) {
            Ok(meta) => Ok((file, meta)),
            Err(e) => Err(AuditError::io(file.path, &e)),
        };
        Ok(Self { standing, log_id, files: files.into_iter().map(sized).collect::<Result<_, _>>()? })
    }

    fn verify(
        self,
        folder: &Folder,
        trusted: &[PublicKey],
        known: &[KnownHead],
        read: &mut dyn FnMut(u64),
    ) -> Result<Verified, VerifyError> {
        let mut check = Check::new(folder, trusted, known);
        let last = self.files.iter().rposition(|(_, meta)| meta.len() > 0);
        for (at, (file, meta)) in self.files.iter().enumerate() {
            check.file(file, meta, Some(at) == last, read)?;
        }
        check.end(self.standing, self.log_id)
    }
}
