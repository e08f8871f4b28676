use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::cli::failure::Failure;
use crate::facts::{folder_of, random_id, with_suffix};
use crate::protocol::attestation::SignedRecord;
use crate::protocol::json;

/// The record that was written last. `remedy` is the command that makes one.
pub(super) fn read(path: &Path, remedy: &str) -> Result<SignedRecord, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::config(format!("there is no record at {shown}"), format!("Make one: {remedy}")),
        _ => Failure::io(&format!("cannot read {shown}"), &e),
    })?;
    let refused = |what: String| Failure::data(what, format!("Keep the file, and make a new record: {remedy}"));
    let object = json::parse(&bytes).map_err(|e| refused(format!("{shown}: {e}")))?;
    SignedRecord::from_object(&object).map_err(|e| refused(format!("{shown}: {e}")))
}

/// Puts the record in the place of the last one: who reads it finds one of the two, whole.
pub(super) fn write(path: &Path, signed: &SignedRecord) -> Result<(), Failure> {
    let new = with_suffix(path, &random_id(".new-"));
    let written = create(&new, &signed.to_file().to_python_pages()).and_then(|()| {
        fs::rename(&new, path)?;
        File::open(folder_of(path))?.sync_all()
    });
    if written.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&new);
    }
    written.map_err(|e| Failure::io(&format!("cannot write {}", path.display()), &e))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
