use super::{MAX_BYTES, MAX_DEPTH, MAX_INTEGER_DIGITS};

/// Why an input is not a payload. Positions are byte offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A member appears twice, so that two readers could see two contents.
    #[error("a key is repeated at byte {at}")]
    DuplicateKey {
        /// Where the second one begins.
        at: usize,
    },
    /// A `\u` escape that is half of a surrogate pair.
    #[error("a lone surrogate escape at byte {at}")]
    LoneSurrogate {
        /// Where the escape begins.
        at: usize,
    },
    /// The top level is a list, text, a number or a literal.
    #[error("the top level is not an object")]
    NotAnObject,
    /// Not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// A number beyond what a double holds.
    #[error("a number overflows at byte {at}")]
    NumberOverflow {
        /// Where the number begins.
        at: usize,
    },
    /// More than [`MAX_DEPTH`] levels.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_BYTES`] bytes.
    #[error("larger than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// More than [`MAX_INTEGER_DIGITS`] digits.
    #[error("an integer of more than {MAX_INTEGER_DIGITS} digits at byte {at}")]
    TooManyDigits {
        /// Where the integer begins.
        at: usize,
    },
    /// Anything else that strict JSON does not allow.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// What would have been right.
        expected: &'static str,
        /// Where it is missing.
        at: usize,
    },
}
