//! Canonical JSON (section 1): a strict reader, and a writer whose bytes are the contract.
//!
//! Reader and writer are our own because the contract keeps every digit of an integer, tells `1` from `1.0`,
//! and refuses a repeated key: `docs/decisions/0002-own-json.md`.

mod error;
mod pages;
mod parse;
mod value;
mod write;

pub use error::JsonError;
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_INTEGER_DIGITS, parse};
pub use value::{Float, Integer, Object, Value};
