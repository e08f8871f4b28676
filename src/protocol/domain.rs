use std::fmt;

use super::json::Object;
use crate::facts::Digest;

/// What a signature is for (section 2). The list is closed: nothing outside it can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// The relay envelope, a contract.
    Relay,
    /// The custody attestation record, a contract.
    Attestation,
    /// The witness statement, a contract.
    Witness,
    /// Fork evidence, a contract.
    Fork,
    /// The source attestation, ours.
    Source,
    /// How far the audit log had come, ours.
    Audit,
    /// The record of an epoch's data key, ours.
    Epoch,
    /// What went wrong with what we keep, ours.
    Incident,
    /// What a key signs to show that it works, ours. Says nothing.
    SelfTest,
    /// A checkpoint, by whoever submits it, ours. No key of ours signs it.
    Checkpoint,
    /// What a witness says of itself: who it is, how far its records go, which key follows, what went wrong; ours.
    WitnessState,
}

impl Domain {
    /// The name that is signed in front of the payload.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "attesto.local_vault.relay",
            Self::Attestation => "attesto.local_vault.attestation",
            Self::Witness => "attesto.v2.witness",
            Self::Fork => "attesto.v2.fork",
            Self::Source => "local-vault.source.v1",
            Self::Audit => "local-vault.audit.v1",
            Self::Epoch => "local-vault.epoch.v1",
            Self::Incident => "local-vault.incident.v1",
            Self::SelfTest => "local-vault.self-test.v1",
            Self::Checkpoint => "local-vault.checkpoint.v1",
            Self::WitnessState => "local-vault.witness.v1",
        }
    }

    /// Whether a contract with the platform fixes Ed25519 for this domain. Our own records may use any algorithm.
    pub const fn is_ed25519_only(self) -> bool {
        matches!(self, Self::Relay | Self::Attestation | Self::Witness | Self::Fork)
    }
}

/// The bytes that are signed: domain, a zero byte, the canonical payload. The only thing that custody signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Preimage {
    domain: Domain,
    bytes: Vec<u8>,
}

impl Preimage {
    /// The preimage of `payload` in `domain`.
    pub fn new(domain: Domain, payload: &Object) -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(domain.name().as_bytes());
        bytes.push(0);
        payload.write_canonical(&mut bytes);
        Self { domain, bytes }
    }

    /// Which domain this was made for.
    pub const fn domain(&self) -> Domain {
        self.domain
    }

    /// What is signed; PureEdDSA takes these bytes, not their hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The canonical payload alone, behind the domain and its zero byte.
    pub fn canonical(&self) -> &[u8] {
        &self.bytes[self.domain.name().len() + 1..]
    }

    /// The hash that the contracts call `envelope_hash`, `statement_hash` and `evidence_hash`.
    pub fn hash(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

/// Shows the hash and no byte of the payload, which does not belong into a log.
impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preimage({} {})", self.domain.name(), self.hash())
    }
}
