use std::fmt;
use std::str::FromStr;

use super::Timestamp;

/// Names one spooled event for ever. Displayed as `lv_` and 32 hex digits.
///
/// The first 48 bits are the time in milliseconds, so that new ids land at the end of the spool's index
/// instead of all over it; the other 80 are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// A new id. Panics only where the kernel gives no randomness, with which nothing here can go on.
    pub fn new(now: Timestamp) -> Self {
        let mut bytes: [u8; 16] = random();
        let millis = u64::try_from(now.as_millis()).unwrap_or(0).to_be_bytes();
        bytes[..6].copy_from_slice(&millis[2..]);
        Self(bytes)
    }

    /// An id that was made before.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes behind the hex digits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let digits = text.strip_prefix("lv_").ok_or(IdError)?;
        if digits.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(IdError);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lv_")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not `lv_` and 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected lv_ and 32 lower-case hex digits")]
pub struct IdError;

/// `prefix` and 32 random hex digits, the form of receipt and evidence ids.
/// Panics only where the kernel gives no randomness.
pub fn random_id(prefix: &str) -> String {
    format!("{prefix}{}", hex::encode(random::<16>()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel fails this only before its pool is ready, and then it blocks instead.
    getrandom::fill(&mut bytes).expect("the kernel's randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself() {
        let id = EventId::new(Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("lv_00".parse::<EventId>(), Err(IdError));
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let early = EventId::new(Timestamp::from_millis(1_800_000_000_000));
        let late = EventId::new(Timestamp::from_millis(1_800_000_000_001));
        assert!(early < late);
    }
}
