use std::fs;
use std::path::{Path, PathBuf};

use super::end::{End, last_entry};
use super::event::{FILE_ENDED, cut};
use super::folder::Folder;
use super::log::begin;
use super::verify::{VerifyError, verify, verify_held};
use super::{Audit, AuditError, Event};
use crate::facts::{Clock, Digest, Timestamp};
use crate::protocol::json::Object;

/// What pruning would take away, or took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The number of the last entry in them.
    pub through: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What a log was begun anew beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Where the damaged one lies now, as it was.
    pub kept: PathBuf,
    /// The new one.
    pub log_id: String,
}

/// The files of a log whose last entry is older than `before`. The one that is written to is never among them. `None`
/// where there is none. A log that does not verify is refused: what shows that it was changed must not go. Blocking.
pub fn prunable(folder: &Path, before: Timestamp) -> Result<Option<Pruned>, AuditError> {
    match verify(folder, &[], &[], &mut |_| ()) {
        Ok(_) => {}
        Err(VerifyError::Unread(e)) => return Err(e),
        Err(VerifyError::Found(found)) => return Err(AuditError::damaged(found.path, found.what)),
    }
    let mut pruned: Option<Pruned> = None;
    let mut ended = Folder::new(folder).files()?;
    ended.pop();
    for file in ended {
        let last = last_entry(&file)?;
        // Behind the file that is written to, an empty one may lie.
        if last.kind != FILE_ENDED || last.time >= before {
            break;
        }
        let mut files = pruned.map(|pruned| pruned.files).unwrap_or_default();
        files.push(file.path);
        pruned = Some(Pruned { files, through: last.seq, hash: last.hash });
    }
    Ok(pruned)
}

/// Takes files away, after an entry that says so and a signed head over that are on the disk. Blocking.
pub fn prune(audit: &Audit, folder: &Path, pruned: &Pruned) -> Result<(), AuditError> {
    audit.record_blocking(vec![Event::pruned(pruned.through, &pruned.hash)])?;
    if !audit.sign_head_blocking() {
        let what = "no head was signed over it, so nothing was taken away".into();
        return Err(AuditError::Io { path: folder.to_owned(), what });
    }
    for file in &pruned.files {
        fs::remove_file(file).map_err(|e| AuditError::io(file, &e))?;
    }
    Folder::new(folder).sync().map_err(|e| AuditError::io(folder, &e))
}

/// Moves a damaged log aside, whole and unchanged, and begins a new one that names it. A log that is not damaged is
/// refused: `None`, and so is a place where there never was any. Blocking.
pub fn recover(path: &Path, reason: &str, clock: &dyn Clock) -> Result<Option<Recovered>, AuditError> {
    let folder = Folder::new(path);
    if folder.log_id()?.is_none() && (!path.exists() || folder.files()?.is_empty()) {
        return Ok(None);
    }
    // All of it may be gone, and only its name left.
    folder.make_folder()?;
    let _turn = folder.turn()?;
    let found = match verify_held(&folder, &[], &[], &mut |_| ()) {
        Ok(_) => return Ok(None),
        Err(VerifyError::Unread(e)) => return Err(e),
        Err(VerifyError::Found(found)) => found,
    };
    let kept = path.join(format!("damaged-{}", clock.now().as_millis()));
    fs::create_dir(&kept).map_err(|e| AuditError::io(&kept, &e))?;
    let after = Object::new()
        .with("log_id", folder.log_id()?.map(cut))
        .with("found", cut(found.to_string()))
        .with("found_seq", found.seq)
        .with("last_seq", End::find(&folder).ok().flatten().map(|end| end.seq))
        .with("reason", cut(reason.to_owned()));
    // The name stays until the new one takes its place: as long as it is there, no log is begun by itself, and one that
    // names no other before it is none of ours.
    let id_file = folder.id_file();
    if id_file.exists() {
        let to = kept.join(id_file.file_name().unwrap_or_default());
        fs::copy(&id_file, &to).map_err(|e| AuditError::io(&to, &e))?;
    }
    let names = folder.files()?.into_iter().map(|file| file.path).chain([path.join("end")]);
    for from in names.filter(|path| path.exists()) {
        let to = kept.join(from.file_name().unwrap_or_default());
        fs::rename(&from, &to).map_err(|e| AuditError::io(&from, &e))?;
    }
    folder.sync().map_err(|e| AuditError::io(path, &e))?;
    let (_, log_id) = begin(&folder, clock, Some(after))?;
    Ok(Some(Recovered { kept, log_id }))
}
