use std::fs::File;
use std::io::{self, ErrorKind as IoKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use super::{BACKEND, misconfigured};
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::SecretBytes;

/// No key or passphrase file is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Reads a file that holds a secret. Refused where others than its owner may read or write it, where it belongs to
/// somebody else than this process (or root), and where it is no plain file.
///
/// Mode and owner are those of the open file, so that it cannot be exchanged between the check and the reading.
pub fn read_secret_file(path: &Path) -> Result<SecretBytes, CustodyError> {
    read(path, 0o077)
}

/// Reads a file in systemd's folder of credentials as [`read_secret_file`] reads others, but for the bits of its group:
/// systemd lets a service in by an access list, which shows there.
pub fn read_credential_file(path: &Path) -> Result<SecretBytes, CustodyError> {
    read(path, 0o007)
}

fn read(path: &Path, others: u32) -> Result<SecretBytes, CustodyError> {
    let shown = path.display();
    let unreadable = |e: io::Error| {
        let kind = if e.kind() == IoKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Misconfigured };
        let advice = "Check the path in the configuration, and that this user may read the file.";
        CustodyError::new(kind, BACKEND, "open", format!("cannot read {shown}: {e}"), advice)
    };
    let file = open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(misconfigured("open", format!("{shown} is not a plain file"), "Name the key file itself."));
    }
    if meta.mode() & others != 0 {
        let message = format!("{shown} may be read by others (mode {:03o})", meta.mode() & 0o777);
        return Err(misconfigured("mode", message, format!("Run: chmod 600 {shown}")));
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        let message = format!("{shown} belongs to uid {}, not to uid {me} or root", meta.uid());
        return Err(misconfigured("owner", message, format!("Run: chown {me} {shown}")));
    }
    // One byte over the limit is read, to tell a full file from one that is too long; the vector never grows, so no
    // half-read copy of the secret stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 2));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(misconfigured("read", format!("{shown} is longer than 64 KiB"), "Name the key file itself."));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}

/// Opens without waiting: a pipe with no writer would hold us here for ever. A terminal does not become ours.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
