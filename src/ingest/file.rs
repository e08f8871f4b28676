use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use crate::facts::Digest;

/// The hash of a plain file's bytes, read as a stream. Blocking, but not on a pipe that nobody writes to, and not for
/// ever on a device: what is no plain file is refused.
pub fn hash_file(path: &Path) -> io::Result<Digest> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a plain file"));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            n => hash.update(&buffer[..n]),
        }
    }
}
