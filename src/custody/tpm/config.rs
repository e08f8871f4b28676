use std::fmt;
use std::path::PathBuf;

use super::tcti::Tcti;
use crate::custody::PinSource;
use crate::facts::Digest;
use crate::protocol::PublicKey;
use crate::protocol::tpm::PcrSelection;

/// Which TPM, what is pinned of it, and under what it releases secrets.
#[derive(Debug, Clone)]
pub struct TpmConfig {
    /// The way to it.
    pub tcti: Tcti,
    /// Where blobs and signed policies lie.
    pub folder: PathBuf,
    /// The key that everything of ours is under.
    pub parent: Parent,
    /// The parent's Name, in hex; `None` before `custody tpm provision`.
    pub parent_name: Option<String>,
    /// The public half of the operator's key that signs policies, P-256; `None` before `custody tpm provision`.
    pub policy_key: Option<PublicKey>,
    /// The public half of the offline key that signing seeds are covered by (X25519, RFC 9180).
    pub recovery_key: Option<[u8; 32]>,
    /// The PCRs that a new policy is about.
    pub pcrs: PcrSelection,
    /// The PCR that our executable and configuration are measured into, which is capped once everything is released.
    pub application_pcr: Option<u8>,
    /// What is measured there besides the executable.
    pub security_digest: Digest,
    /// Asked for besides the PCRs.
    pub pin: Option<PinSource>,
    /// What firmware noted of its measurements, where it is not the kernel's log of this device.
    pub event_log: Option<PathBuf>,
    /// What opens the owner hierarchy, where it is not empty; a file of mode 0600.
    pub owner_auth_file: Option<PathBuf>,
}

/// The key that everything of ours is under: a storage key without dictionary-attack protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// Persistent, at this handle.
    Persistent(u32),
    /// Made anew from the usual template (ECC P-256, TCG TPM v2.0 Provisioning Guidance) at each connection: the same
    /// key each time, for as long as the TPM is not cleared.
    #[default]
    Template,
}

impl TpmConfig {
    /// A TPM that holds no key of ours, but for the one that it quotes with.
    pub fn without_keys(tcti: Tcti, pcrs: PcrSelection) -> Self {
        Self {
            tcti,
            folder: PathBuf::new(),
            parent: Parent::Template,
            parent_name: None,
            policy_key: None,
            recovery_key: None,
            pcrs,
            application_pcr: None,
            security_digest: Digest::of(b""),
            pin: None,
            event_log: None,
            owner_auth_file: None,
        }
    }
}

/// Secure boot's state and keys, the kernel image as systemd-stub measures it, and shim's own keys.
pub const USUAL_PCRS: &str = "sha256:7,11,14";

impl Parent {
    /// Reads `template` or a persistent handle such as `0x81000001`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "template" {
            return Some(Self::Template);
        }
        let handle = u32::from_str_radix(name.strip_prefix("0x")?, 16).ok()?;
        (0x8100_0000..=0x81ff_ffff).contains(&handle).then_some(Self::Persistent(handle))
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persistent(handle) => write!(f, "0x{handle:08x}"),
            Self::Template => f.write_str("template"),
        }
    }
}
