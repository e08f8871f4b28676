use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::SocketError;

/// The mode of a folder that is made for the socket. The socket's own mode says who may use it.
const FOLDER_MODE: u32 = 0o755;

/// Makes the folder of a socket where it is missing, and refuses one that others may write to.
pub(super) fn prepare_folder(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.exists() {
        DirBuilder::new().mode(FOLDER_MODE).create(folder).map_err(failed)?;
        // The process's own mask took bits away.
        fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    }
    check_folders(&fs::canonicalize(folder).map_err(failed)?)
}

/// Whoever may write a folder above the socket may put their own in its place, and be brought what is ours: its owner
/// first. A sticky folder keeps others' hands off, and not its owner's.
fn check_folders(folder: &Path) -> Result<(), SocketError> {
    const STICKY: u32 = 0o1000;
    let me = rustix::process::geteuid().as_raw();
    for folder in folder.ancestors() {
        // One that cannot be looked at is not on the way to a folder that was.
        let Ok(meta) = fs::metadata(folder) else { continue };
        let refuse = |why| Err(SocketError::Unsafe { folder: folder.to_owned(), why });
        if meta.uid() != 0 && meta.uid() != me {
            return refuse(format!("it belongs to uid {}, not to root or uid {me}", meta.uid()));
        }
        if meta.mode() & 0o002 != 0 && meta.mode() & STICKY == 0 {
            return refuse("anybody may write to it".into());
        }
    }
    Ok(())
}

/// Removes a socket that nobody has any more. Who has the role here is not the only one who may have it: another
/// program may, and of another kind.
pub(super) fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match knock(path) {
        // The kernel knows nobody who has it.
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed),
        Err(Errno::NOENT) => Ok(()),
        // Somebody answers, has no time to, or has a socket of another kind there.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(SocketError::Busy(path.to_owned())),
        Err(e) => Err(failed(e.into())),
    }
}

/// Connects, and does not wait where too many others do.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}
