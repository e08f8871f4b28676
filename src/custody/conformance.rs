//! What every backend keeps to, as cases that run over fresh keys of it: in the tests over each backend, and from
//! `custody selftest --full` over a token that nobody has seen before.

mod data_key;
mod signing;
mod wrapping;

use std::sync::Arc;

use super::{CustodyError, ErrorKind, Residence, SharedSigningKey, WrappingKey};
use crate::protocol::json::Object;
use crate::protocol::{Algorithm, Domain, Preimage};

/// A backend under test. Each call makes another key.
pub trait Subject {
    /// A signing key; an error of the kind [`Unsupported`](ErrorKind::Unsupported) where the backend has none such.
    fn signing(&self, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError>;

    /// A key whose data keys are of this residence, with the same kind of error.
    fn wrapping(&self, residence: Residence) -> Result<Arc<dyn WrappingKey>, CustodyError>;
}

/// One thing that a backend keeps to.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What holds, as a sentence.
    pub name: &'static str,
    /// With which kind of key.
    pub with: KeyKind,
    check: fn(&Fresh<'_>) -> Result<(), Flaw>,
}

/// Which keys a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A signing key.
    Signing(Algorithm),
    /// A wrapping key and its data keys.
    Wrapping(Residence),
}

impl KeyKind {
    /// The name as reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signing(algorithm) => algorithm.name(),
            Self::Wrapping(residence) => residence.name(),
        }
    }
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It does not hold; this is what was seen.
    Failed(String),
    /// The backend has no such key.
    NotOffered(String),
    /// It holds.
    Passed,
}

impl Case {
    /// Runs the case over keys that are made for it. Blocks.
    pub fn run(&self, subject: &dyn Subject) -> Outcome {
        match (self.check)(&Fresh { subject, kind: self.with }) {
            Ok(()) => Outcome::Passed,
            Err(Flaw::NotOffered(what)) => Outcome::NotOffered(what),
            Err(Flaw::Seen(what)) => Outcome::Failed(what),
        }
    }
}

/// Every case, over every kind of key that it is about.
pub fn cases() -> Vec<Case> {
    let signing = [Algorithm::Ed25519, Algorithm::Es256].map(KeyKind::Signing);
    let wrapping = [Residence::Released, Residence::Resident].map(KeyKind::Wrapping);
    let of = |kinds: &[KeyKind], list: &[Named]| -> Vec<Case> {
        let case = |&with: &KeyKind| list.iter().map(move |&(name, check)| Case { name, with, check });
        kinds.iter().flat_map(case).collect()
    };
    [
        of(&signing, signing::OF_EACH),
        of(&signing[..1], signing::OF_ED25519),
        of(&signing[1..], signing::OF_ES256),
        of(&wrapping, wrapping::CASES),
        of(&wrapping, data_key::CASES),
    ]
    .concat()
}

type Named = (&'static str, fn(&Fresh<'_>) -> Result<(), Flaw>);

/// Makes the keys of a case.
struct Fresh<'a> {
    subject: &'a dyn Subject,
    kind: KeyKind,
}

impl Fresh<'_> {
    fn signing(&self) -> Result<SharedSigningKey, Flaw> {
        let KeyKind::Signing(algorithm) = self.kind else { return Err(Flaw::Seen("not about signing".into())) };
        Ok(self.subject.signing(algorithm)?)
    }

    fn wrapping(&self) -> Result<Arc<dyn WrappingKey>, Flaw> {
        let KeyKind::Wrapping(residence) = self.kind else { return Err(Flaw::Seen("not about wrapping".into())) };
        Ok(self.subject.wrapping(residence)?)
    }
}

/// Why a case does not hold.
enum Flaw {
    NotOffered(String),
    Seen(String),
}

impl From<CustodyError> for Flaw {
    fn from(error: CustodyError) -> Self {
        match error.kind {
            ErrorKind::Unsupported => Self::NotOffered(error.to_string()),
            _ => Self::Seen(error.to_string()),
        }
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(Flaw::Seen(otherwise())) }
}

fn preimage(domain: Domain, text: &str) -> Preimage {
    Preimage::new(domain, &Object::new().with("text", text))
}
