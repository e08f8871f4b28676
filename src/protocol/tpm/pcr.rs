use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::SHA256;
use crate::facts::Digest;

/// Bytes of a selection's bitmap: PCR 0 to 23.
const WIDTH: usize = 3;
const BANK: &str = "sha256:";

/// Which PCRs of the SHA-256 bank, as `sha256:0,1,2,3,7`. Shown as it was written, since records are compared by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrSelection {
    text: String,
    bitmap: [u8; WIDTH],
}

/// The value of each PCR by its number.
pub type PcrValues = BTreeMap<u8, Digest>;

impl PcrSelection {
    /// The numbers that are selected, in order.
    pub fn indices(&self) -> impl Iterator<Item = u8> {
        (0..8 * WIDTH as u8).filter(|index| self.bitmap[usize::from(index / 8)] & (1 << (index % 8)) != 0)
    }

    /// Whether a quote's TPML_PCR_SELECTION is this one and nothing beside it.
    pub(super) fn is(&self, selection: &[(u16, Vec<u8>)]) -> bool {
        matches!(selection, [(SHA256, bitmap)] if bitmap == &self.bitmap)
    }

    /// The digest that a quote has where the PCRs have these values. Every selected PCR needs one, and no other has one:
    /// a value that is not looked at would seem to have been.
    pub fn digest(&self, values: &PcrValues) -> Result<Digest, GoldenError> {
        let mut hash = Sha256::new();
        for index in self.indices() {
            hash.update(values.get(&index).ok_or(GoldenError::Missing(index))?.as_bytes());
        }
        let beside = |index: &&u8| !self.indices().any(|selected| selected == **index);
        match values.keys().find(beside) {
            Some(index) => Err(GoldenError::NotSelected(*index)),
            None => Ok(Digest::from_bytes(hash.finalize().into())),
        }
    }
}

impl FromStr for PcrSelection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let list = text.strip_prefix(BANK).ok_or(SelectionError)?;
        let mut bitmap = [0; WIDTH];
        for number in list.split(',') {
            let plain = (1..=2).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
            let index: u8 = number.parse().ok().filter(|_| plain).ok_or(SelectionError)?;
            *bitmap.get_mut(usize::from(index / 8)).ok_or(SelectionError)? |= 1 << (index % 8);
        }
        Ok(Self { text: text.to_owned(), bitmap })
    }
}

impl fmt::Display for PcrSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Not `sha256:` and numbers from 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected PCRs such as sha256:0,1,2,3,7, each from 0 to 23")]
pub struct SelectionError;

/// Why values of PCRs make no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GoldenError {
    /// The digest needs its value too.
    #[error("PCR {0} was quoted, and its value is not given")]
    Missing(u8),
    /// The quote says nothing about it.
    #[error("PCR {0} was not quoted, so that its value cannot be checked")]
    NotSelected(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_keeps_its_text_and_knows_its_numbers() {
        let selection: PcrSelection = "sha256:7,0,07,23".parse().unwrap();
        assert_eq!(selection.to_string(), "sha256:7,0,07,23");
        assert_eq!(selection.indices().collect::<Vec<_>>(), [0, 7, 23]);
        assert!(selection.is(&[(SHA256, vec![0x81, 0, 0x80])]));
        assert!(!selection.is(&[(SHA256, vec![0x81, 0, 0x80]), (SHA256, vec![0, 0, 0])]));
        assert!(!selection.is(&[(4, vec![0x81, 0, 0x80])]));
    }

    #[test]
    fn what_is_no_selection_is_refused() {
        for text in ["", "sha256:", "sha1:0", "0,1", "sha256:24", "sha256:1,", "sha256:+1", "sha256:007", "sha256: 1"] {
            assert_eq!(text.parse::<PcrSelection>(), Err(SelectionError), "{text}");
        }
    }

    #[test]
    fn every_selected_value_is_needed_and_no_other_is_taken() {
        let selection: PcrSelection = "sha256:1,2".parse().unwrap();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let both = [one.as_bytes().as_slice(), two.as_bytes()].concat();
        assert_eq!(selection.digest(&[(1, one), (2, two)].into()), Ok(Digest::of(&both)));
        assert_eq!(selection.digest(&[(1, one)].into()), Err(GoldenError::Missing(2)));
        assert_eq!(selection.digest(&[(1, one), (2, two), (3, two)].into()), Err(GoldenError::NotSelected(3)));
    }
}
