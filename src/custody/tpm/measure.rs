//! Measures what runs here into a PCR of the application's, so that a policy can name it. The other PCRs tell of
//! firmware, boot loader and kernel, and nothing of us.

use std::fs::File;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tss_esapi::handles::PcrHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::DigestValues;

use super::approved;
use super::config::TpmConfig;
use super::durable;
use super::fault::{Fault, at};
use super::link::Link;
use super::pcr::{Selection, Value};
use crate::custody::CustodyError;
use crate::facts::{Digest, Framed};

/// What a PCR is extended with once everything is released: its value then fulfils no policy until the next boot.
pub(super) const CAP: Value = *b"local-vault: nothing is released";

/// What an executable with this configuration is measured as; the running one where none is named.
pub(super) fn digest(config: &TpmConfig, executable: Option<&Path>) -> Result<Value, CustodyError> {
    let running = Path::new("/proc/self/exe");
    let path = executable.unwrap_or(running);
    let mut hash = Sha256::new();
    let hashed = File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut HashWriter(&mut hash)));
    hashed.map_err(|e| durable::failed("read", path, &e))?;
    let executable: Value = hash.finalize().into();
    let both = Framed::new("local-vault.application.v1").bytes(&executable).bytes(config.security_digest.as_bytes());
    Ok(*Digest::of(both.as_bytes()).as_bytes())
}

/// What a PCR holds.
pub(super) fn read(link: &mut Link, pcr: u8) -> Result<Value, Fault> {
    let values = Selection::of([pcr]).read(&mut link.context)?;
    Ok(values.get(&pcr).copied().unwrap_or_default())
}

/// Extends a PCR.
pub(super) fn extend(link: &mut Link, pcr: u8, digest: &Value) -> Result<(), Fault> {
    let handle = PcrHandle::try_from(u32::from(pcr)).map_err(at("TPM2_PCR_Extend"))?;
    let mut values = DigestValues::new();
    values.set(HashingAlgorithm::Sha256, approved::digest(digest)?);
    let extended =
        link.context.execute_with_session(Some(AuthSession::Password), |context| context.pcr_extend(handle, values));
    extended.map_err(at("TPM2_PCR_Extend"))
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
