use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::facts::with_suffix;

/// The write-ahead log of a database.
pub(super) fn wal_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

/// Opens the file itself for reading, without its WAL: no lock is taken and no side file is made.
///
/// A file that may be a store of this process is looked at through SQLite alone. Closing a descriptor of our own
/// would give up the locks that its other connections hold on it (sqlite.org/howtocorrupt.html, section 2.2), and
/// another process would then delete the WAL under them.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{}?immutable=1", escaped(path)), flags)
}

/// A path inside a `file:` URI (RFC 3986): everything but unreserved characters and `/` as `%XX`.
fn escaped(path: &Path) -> String {
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut uri, &byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
        uri
    })
}
