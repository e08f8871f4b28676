use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::cli::failure::Failure;
use crate::facts::{random_id, with_suffix};

/// node_exporter runs as somebody else, and is to read it.
const MODE: u32 = 0o644;

/// Puts a file with this text in the place of the last one: who reads it finds one of the two, whole. It is not synced:
/// after a loss of power the next one is there in a moment. Blocks on the disk.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Not with the ending that the collector looks for.
    let new = with_suffix(path, &random_id(".new-"));
    let replaced = create(&new, text).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&new);
    }
    replaced
}

/// Why the file is not there.
pub(super) fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::io(&format!("cannot write {}", path.display()), error)
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    // Whatever the umask takes away.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())
}
