use super::random::Random;

/// What becomes of the operations on one file that were not synced.
#[derive(Debug)]
pub(crate) enum Fate {
    /// All of them are there.
    Kept,
    /// None is.
    Lost,
    /// So many of the first are.
    Prefix(usize),
    /// Each one is or is not: so many of a hundred.
    Some(usize, Random),
    /// The same for each sector.
    Torn(usize, Random),
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

impl Fate {
    pub(crate) fn random(random: &mut Random) -> Self {
        let share = [10, 50, 90][random.below(3)];
        let prefix = random.below(12);
        let own = Random::new(u64::try_from(random.below(usize::MAX)).unwrap());
        match random.below(8) {
            0 => Self::Kept,
            1 | 2 => Self::Lost,
            3 | 4 => Self::Prefix(prefix),
            5 => Self::Some(share, own),
            _ => Self::Torn(share, own),
        }
    }

    /// Whether the next operation, or the next sector of one, is there.
    pub(crate) fn keeps(&mut self) -> bool {
        match self {
            Self::Kept => true,
            Self::Lost | Self::Prefix(0) => false,
            Self::Prefix(left) => {
                *left -= 1;
                true
            }
            Self::Some(share, random) | Self::Torn(share, random) => random.percent(*share),
        }
    }

    /// What comes to the disk of a write that was not synced.
    pub(crate) fn write(&mut self, content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
        if !matches!(self, Self::Torn(..)) {
            if self.keeps() {
                write(content, at, bytes);
            }
            return;
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = at + done;
            let piece = (SECTOR - at % SECTOR).min(bytes.len() - done);
            if self.keeps() {
                write(content, at, &bytes[done..done + piece]);
            }
            done += piece;
        }
    }
}

pub(crate) fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    // A hole reads as zeros.
    content.resize(content.len().max(at + bytes.len()), 0);
    content[at..at + bytes.len()].copy_from_slice(bytes);
}
