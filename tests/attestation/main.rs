//! Evidence: the records of the published package, the quotes in them, and the commands that make and check our own.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

mod published;
mod quotes;
mod vectors;
