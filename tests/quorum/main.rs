//! The quorum as a verifier meets it: policies, statements that real keys signed, evidence, verdicts.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

mod made;
mod policy;
mod properties;
mod refusals;
mod rules;
