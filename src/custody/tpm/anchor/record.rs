use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::custody::Floor;
use crate::facts::Digest;

/// What the floor's index says: the floor, and which value the counter has once this is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) floor: Floor,
    pub(super) counter: u64,
}

/// How a record and the counter stand to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is what was written last, and nothing can take its place again but what comes after it.
    Final,
    /// It was set back, or the counter was made anew.
    SetBack,
    /// It was written, and then came a crash: the counter is still to be incremented.
    Unfinished,
}

const VERSION: u8 = 1;

/// Version, count, root and counter; and their MAC.
const CONTENT: usize = 1 + 8 + 32 + 8;
pub(super) const LENGTH: usize = CONTENT + 32;

impl Record {
    pub(super) const fn stands(&self, counter: u64) -> Standing {
        if self.counter == counter {
            return Standing::Final;
        }
        match counter.checked_add(1) {
            Some(next) if self.counter == next => Standing::Unfinished,
            _ => Standing::SetBack,
        }
    }

    pub(super) fn to_bytes(self, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.floor.count.to_be_bytes());
        bytes.extend(self.floor.root.as_bytes());
        bytes.extend(self.counter.to_be_bytes());
        let tag = mac(key, &bytes).finalize().into_bytes();
        bytes.extend(tag);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote with this key, and nothing else.
    pub(super) fn from_bytes(bytes: &[u8], key: &[u8; 32]) -> Option<Self> {
        let (content, tag) = bytes.split_at_checked(CONTENT)?;
        mac(key, content).verify_slice(tag).ok()?;
        let (&version, rest) = content.split_first()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let (root, counter) = rest.split_first_chunk::<32>()?;
        let floor = Floor { count: u64::from_be_bytes(*count), root: Digest::from_bytes(*root) };
        (version == VERSION).then_some(Self { floor, counter: u64::from_be_bytes(counter.try_into().ok()?) })
    }
}

fn mac(key: &[u8; 32], content: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of 32 bytes");
    mac.update(content);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: Record = Record { floor: Floor { count: 7, root: Digest::from_bytes([3; 32]) }, counter: 40 };

    #[test]
    fn it_is_final_only_with_its_own_value_of_the_counter() {
        let stands = [0, 38, 39, 40, 41, u64::MAX].map(|counter| RECORD.stands(counter));
        use Standing::{Final, SetBack, Unfinished};
        assert_eq!(stands, [SetBack, SetBack, Unfinished, Final, SetBack, SetBack]);
        assert_eq!(Record { counter: 0, ..RECORD }.stands(u64::MAX), SetBack);
    }

    #[test]
    fn it_reads_back_and_any_changed_byte_or_length_does_not() {
        let bytes = RECORD.to_bytes(&[9; 32]);
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(Record::from_bytes(&bytes, &[9; 32]), Some(RECORD));
        assert_eq!(Record::from_bytes(&bytes, &[8; 32]), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Record::from_bytes(&changed, &[9; 32]), None, "{at}");
            assert_eq!(Record::from_bytes(&bytes[..at], &[9; 32]), None, "{at}");
        }
        assert_eq!(Record::from_bytes(&[bytes.as_slice(), &[0]].concat(), &[9; 32]), None);
    }

    #[test]
    fn another_version_is_not_read_with_a_mac_of_ours_either() {
        let mut bytes = RECORD.to_bytes(&[9; 32]);
        bytes[0] = VERSION + 1;
        let tag = mac(&[9; 32], &bytes[..CONTENT]).finalize().into_bytes();
        bytes[CONTENT..].copy_from_slice(&tag);
        assert_eq!(Record::from_bytes(&bytes, &[9; 32]), None);
    }
}
