use std::fmt;
use std::sync::Arc;

use super::{CustodyError, ErrorKind, KeyUse, Protection, Recorder, SharedSigningKey};
use crate::protocol::{Algorithm, Domain, Preimage, PublicKey, Signature};

/// What a key may sign. One key, one purpose (I2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Our own records: epochs, heads of the audit log, incidents.
    Record,
    /// The relay envelope, and the record of this key's custody.
    Relay,
    /// Source attestations.
    Source,
    /// Witness statements, fork evidence, and what the witness says of itself.
    Witness,
}

impl Purpose {
    /// The name as configuration and reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Relay => "relay",
            Self::Source => "source",
            Self::Witness => "witness",
        }
    }

    const fn covers(self, domain: Domain) -> bool {
        matches!(
            (self, domain),
            (Self::Record, Domain::Audit | Domain::Epoch | Domain::Incident)
                | (Self::Relay, Domain::Relay | Domain::Attestation)
                | (Self::Source, Domain::Source)
                | (Self::Witness, Domain::Witness | Domain::Fork | Domain::WitnessState)
                | (_, Domain::SelfTest)
        )
    }

    const fn is_ed25519_only(self) -> bool {
        matches!(self, Self::Relay | Self::Witness)
    }
}

/// A signing key bound to its purpose and its name, which refuses every other domain.
#[derive(Clone)]
pub struct PurposeKey {
    purpose: Purpose,
    kid: String,
    key: SharedSigningKey,
    recorder: Option<Arc<dyn Recorder>>,
}

impl PurposeKey {
    /// Binds `key`, known to verifiers as `kid`. The contracts of relay and witness know Ed25519 alone, so another
    /// algorithm is refused there.
    pub fn bind(purpose: Purpose, kid: &str, key: SharedSigningKey) -> Result<Self, CustodyError> {
        if purpose.is_ed25519_only() && key.algorithm() != Algorithm::Ed25519 {
            let (name, algorithm) = (purpose.name(), key.algorithm().name());
            let message = format!("the {name} key is {algorithm}, but its contract is Ed25519 only");
            let advice = "Use an Ed25519 key for relay and witness; P-256 serves source attestations.";
            return Err(failure(ErrorKind::Unsupported, "bind", message, advice));
        }
        Ok(Self { purpose, kid: kid.to_owned(), key, recorder: None })
    }

    /// From now on each signature is written down before it is made.
    #[must_use]
    pub fn recorded(self, recorder: Arc<dyn Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// What the key may sign.
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The name under which verifiers know the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// Where the private half is.
    pub fn protection(&self) -> Protection {
        self.key.protection()
    }

    /// Whether the key is there and fit. Blocks for as long as the device takes.
    pub fn check_key(&self) -> Result<(), CustodyError> {
        self.key.check()
    }

    /// Signs, and verifies what a device made (I3). Blocks for as long as the device takes.
    pub fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        if let Some(recorder) = &self.recorder {
            recorder.record_blocking(&self.used(preimage, None))?;
        }
        let signed = self.sign_unchecked(preimage);
        let signed = signed.and_then(|signature| self.check(preimage, &signature).map(|()| signature));
        signed.inspect_err(|e| self.note_failed(None, e))
    }

    /// Writes down that `preimage` is about to be signed for a request, where somebody keeps a record.
    pub(super) async fn record(&self, preimage: &Preimage, request: &str) -> Result<(), CustodyError> {
        match &self.recorder {
            Some(recorder) => recorder.record(&self.used(preimage, Some(request))).await,
            None => Ok(()),
        }
    }

    /// Notes that the key did not sign, where somebody keeps a record.
    pub(super) fn note_failed(&self, request: Option<&str>, error: &CustodyError) {
        if let Some(recorder) = &self.recorder {
            recorder.failed(self.purpose.name(), request, error);
        }
    }

    fn used<'a>(&'a self, preimage: &Preimage, request: Option<&'a str>) -> KeyUse<'a> {
        let (purpose, domain, kid) = (self.purpose, preimage.domain(), self.kid.as_str());
        KeyUse::Sign { purpose, domain, kid, hash: preimage.hash(), request }
    }

    /// Signs without verifying, for a caller that verifies elsewhere.
    pub(super) fn sign_unchecked(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        if !self.purpose.covers(preimage.domain()) {
            let message = format!("the {} key does not sign {}", self.purpose.name(), preimage.domain().name());
            let advice = "This is a defect in local-vault; please report it.";
            return Err(failure(ErrorKind::Unsupported, "sign", message, advice));
        }
        self.key.sign(preimage)
    }

    /// Verifies a signature that a device made. What our own code made in our own memory is believed, whoever released
    /// the key.
    pub(super) fn check(&self, preimage: &Preimage, signature: &Signature) -> Result<(), CustodyError> {
        if self.protection() != Protection::DeviceResident {
            return Ok(());
        }
        self.public_key().verify(preimage, signature).map_err(|_| {
            let message = format!("the device's signature with the {} key does not verify", self.purpose.name());
            let advice = "Nothing was sent. Take the device out of service and run: local-vault custody selftest";
            failure(ErrorKind::Broken, "verify", message, advice)
        })
    }
}

fn failure(kind: ErrorKind, operation: &'static str, message: String, advice: &str) -> CustodyError {
    CustodyError::new(kind, "custody", operation, message, advice)
}

impl fmt::Debug for PurposeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PurposeKey({} {} {:?})", self.purpose.name(), self.kid, self.public_key())
    }
}

/// Two purposes that were given the same key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("one key serves two purposes, {} and {}", first.name(), second.name())]
pub struct SharedKey {
    /// The purpose that was named first.
    pub first: Purpose,
    /// The one that has the same public key.
    pub second: Purpose,
}

/// Checks that no public key stands under two purposes (I2).
pub fn one_key_one_purpose(keys: &[&PurposeKey]) -> Result<(), SharedKey> {
    for (i, first) in keys.iter().enumerate() {
        let second = keys[i + 1..].iter().find(|k| k.public_key() == first.public_key() && k.purpose != first.purpose);
        if let Some(second) = second {
            return Err(SharedKey { first: first.purpose, second: second.purpose });
        }
    }
    Ok(())
}
