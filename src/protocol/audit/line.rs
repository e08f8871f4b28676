use sha2::{Digest as _, Sha256};

use crate::facts::{Digest, Timestamp};
use crate::protocol::json::{self, Object};
use crate::protocol::member::{self, MemberError};

/// What stands in front of everything that is hashed.
const DOMAIN: &[u8] = b"local-vault.audit.entry.v1\0";

/// The hash that the first entry of a log is bound to.
pub const START: Digest = Digest::from_bytes([0; 32]);

/// No line is longer, its end included, in bytes.
pub const LONGEST_LINE: usize = 64 * 1024;

const OPEN: &[u8] = b"{\"entry\":";
const HASH: &[u8] = b",\"hash\":\"";
const CLOSE: &[u8] = b"\"}";
const HEX: usize = 64;

/// What an entry is bound to itself by: SHA-256 over the domain, the hash of the entry before it, and its own canonical
/// bytes.
pub fn entry_hash(previous: &Digest, entry: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update(DOMAIN).chain_update(previous.as_bytes()).chain_update(entry);
    Digest::from_bytes(hash.finalize().into())
}

/// Appends an entry's line to `out`, and gives its hash.
pub fn write_line(out: &mut Vec<u8>, previous: &Digest, entry: &Object) -> Digest {
    out.extend_from_slice(OPEN);
    let from = out.len();
    entry.write_canonical(out);
    let hash = entry_hash(previous, &out[from..]);
    out.extend_from_slice(HASH);
    out.extend_from_slice(hash.to_string().as_bytes());
    out.extend_from_slice(CLOSE);
    out.push(b'\n');
    hash
}

/// An entry as it was read. Its hash is what the line says, and holds only where it was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number in the log, from 1, without a gap.
    pub seq: u64,
    /// When it was written, by the clock of then.
    pub time: Timestamp,
    /// What happened; `docs/audit.md` lists the kinds.
    pub kind: String,
    /// The whole entry.
    pub object: Object,
    /// Binds it to all before it.
    pub hash: Digest,
}

/// Why a line is no entry that follows on the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not in the form of a line.
    #[error("the line is not in the form of an entry")]
    Form,
    /// Its hash is not that of its content behind the entry before it: one of both was changed, or what lay between
    /// them is gone.
    #[error("its hash does not follow on the entry before it")]
    Hash,
    /// A member of the entry is missing or of another type.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// It has another number than the next one.
    #[error("it has the number {found}, and {expected} is next")]
    Number {
        /// What it says.
        found: u64,
        /// What it should say.
        expected: u64,
    },
}

impl Entry {
    /// Reads a line, without its end, and compares nothing.
    pub fn read(line: &[u8]) -> Result<Self, LineError> {
        let (entry, hash) = parts(line)?;
        Self::from_parts(entry, hash)
    }

    /// Reads a line, without its end, that must follow on an entry with this hash and have this number.
    pub fn follow(line: &[u8], previous: &Digest, expected: u64) -> Result<Self, LineError> {
        let (entry, hash) = parts(line)?;
        if entry_hash(previous, entry) != hash {
            return Err(LineError::Hash);
        }
        let read = Self::from_parts(entry, hash)?;
        if read.seq != expected {
            return Err(LineError::Number { found: read.seq, expected });
        }
        Ok(read)
    }

    fn from_parts(entry: &[u8], hash: Digest) -> Result<Self, LineError> {
        let object = json::parse(entry).map_err(|_| LineError::Form)?;
        let seq = member::number(&object, "seq")?;
        Ok(Self { seq, time: member::time(&object, "time")?, kind: member::text(&object, "kind")?, object, hash })
    }
}

/// The canonical bytes of an entry, and the hash that its line says.
fn parts(line: &[u8]) -> Result<(&[u8], Digest), LineError> {
    let rest = line.strip_prefix(OPEN).and_then(|rest| rest.strip_suffix(CLOSE)).ok_or(LineError::Form)?;
    let (rest, hex) = rest.split_at_checked(rest.len().wrapping_sub(HEX)).ok_or(LineError::Form)?;
    let entry = rest.strip_suffix(HASH).ok_or(LineError::Form)?;
    let hash = std::str::from_utf8(hex).ok().and_then(|hex| hex.parse().ok()).ok_or(LineError::Form)?;
    Ok((entry, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Object {
        Object::new().with("seq", seq).with("time", "2026-01-31T12:00:00.000Z").with("kind", "CommandBegun")
    }

    fn line(previous: &Digest, seq: u64) -> (Vec<u8>, Digest) {
        let mut line = Vec::new();
        let hash = write_line(&mut line, previous, &entry(seq));
        line.pop();
        (line, hash)
    }

    #[test]
    fn a_line_is_json_and_reads_back() {
        let (line, hash) = line(&START, 1);
        let read = Entry::follow(&line, &START, 1).unwrap();
        assert_eq!((read.seq, read.kind.as_str(), read.hash), (1, "CommandBegun", hash));
        assert_eq!(json::parse(&line).unwrap().get_object("entry"), Some(&entry(1)));
    }

    #[test]
    fn every_flipped_bit_of_a_line_is_found() {
        let (line, _) = line(&START, 1);
        for bit in 0..line.len() * 8 {
            let mut changed = line.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::follow(&changed, &START, 1).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_entry_of_another_place_does_not_follow() {
        let (first, hash) = line(&START, 1);
        let (second, _) = line(&hash, 2);
        assert_eq!(Entry::follow(&second, &START, 2), Err(LineError::Hash));
        assert_eq!(Entry::follow(&first, &START, 2), Err(LineError::Number { found: 1, expected: 2 }));
        assert!(Entry::follow(&second, &hash, 2).is_ok());
    }
}
