//! `[custody.tpm]`: which TPM, and what is pinned of it.

use std::path::Path;

use super::backend::Backend;
use super::pin;
use super::reader::Section;
use super::settings::KeyPlace;
use crate::custody::tpm::{Parent, Tcti, TpmConfig, USUAL_PCRS};
use crate::protocol::PublicKey;
use crate::protocol::tpm::PcrSelection;

/// A TPM, and the secret in it that opens the spool.
#[derive(Debug, Clone)]
pub struct TpmSettings {
    /// Which TPM, and what is pinned of it. What is measured of the configuration is known once all of it is read.
    pub device: TpmConfig,
    /// What wraps data keys; `None` as long as there is nothing.
    pub wrapping: Option<WrappingSecret>,
}

/// A sealed secret that wraps data keys.
#[derive(Debug, Clone)]
pub struct WrappingSecret {
    /// Its label.
    pub label: String,
    /// The id that it must give.
    pub key_id: String,
}

const FOLDER: &str = "tpm";

/// `[custody.tpm]` of a config file.
pub(super) fn read(mut section: Section<'_>, backend: Backend, folder: &Path) -> Option<TpmSettings> {
    if backend != Backend::Tpm {
        if !section.is_empty() {
            section.problem("is there, and custody.backend is not \"tpm\"");
            section.pass_over();
        }
        return None;
    }
    let tcti = section.parsed("tcti", "a TCTI such as \"device:/dev/tpmrm0\", in full", |text| Tcti::parse(text).ok());
    let parent =
        section.parsed("parent", "\"template\", or a persistent handle such as \"0x81000001\"", Parent::from_name);
    let parent_name = section.parsed("parent_name", "a Name as `custody tpm provision` prints it", name);
    let policy_key = section.parsed("policy_key", "the 130 hex digits of a P-256 key", |text| {
        PublicKey::from_hex(text).ok().filter(|key| matches!(key, PublicKey::Es256(_)))
    });
    let recovery_key = section.parsed("recovery_key", "64 hex digits", |text| hex::decode(text).ok()?.try_into().ok());
    let pcrs = section.parsed("pcrs", "PCRs such as \"sha256:7,11,14\"", |text| text.parse().ok());
    // 16 and 23 are reset by whoever wants to, and 17 to 22 belong to a dynamic launch.
    let application_pcr = section.count("application_pcr", 15);
    let pcrs: PcrSelection = pcrs.or_else(|| USUAL_PCRS.parse().ok())?;
    // Behind the cap no policy over it would hold: resident keys and epochs would stop until the next boot.
    if application_pcr.is_some_and(|pcr| pcrs.indices().any(|bound| usize::from(bound) == pcr)) {
        section.problem(
            "names as application_pcr one of its pcrs: take one that nothing else extends, and that is not bound",
        );
    }
    let tcti = tcti.or_else(|| Tcti::parse(Tcti::DEFAULT).ok())?;
    let device = TpmConfig {
        folder: section.path("folder", folder).unwrap_or_else(|| folder.join(FOLDER)),
        parent: parent.unwrap_or_default(),
        parent_name,
        policy_key,
        recovery_key,
        application_pcr: application_pcr.and_then(|pcr| pcr.try_into().ok()),
        pin: if pin::is_named(&section) { pin::read(&mut section, folder) } else { None },
        event_log: section.path("event_log", folder),
        owner_auth_file: section.path("owner_auth_file", folder),
        ..TpmConfig::without_keys(tcti, pcrs)
    };
    let settings = TpmSettings { device, wrapping: wrapping(section.section("wrapping")) };
    section.end();
    Some(settings)
}

/// A key in the TPM: by its label, and by the public half that it must have.
pub(super) fn read_key(section: &mut Section<'_>) -> Option<KeyPlace> {
    section.needs(&["label", "public_key", "kid"]);
    let label = section.text("label");
    let form = "64 hex digits for Ed25519, or 130 for P-256";
    let public_key = section.parsed("public_key", form, |text| PublicKey::from_hex(text).ok());
    Some(KeyPlace::Tpm { label: label?, public_key: public_key? })
}

fn wrapping(mut section: Section<'_>) -> Option<WrappingSecret> {
    if section.is_empty() {
        return None;
    }
    section.needs(&["label", "key_id"]);
    let (label, key_id) = (section.text("label"), section.text("key_id"));
    section.end();
    Some(WrappingSecret { label: label?, key_id: key_id? })
}

/// A Name over SHA-256.
fn name(text: &str) -> Option<String> {
    let bytes = hex::decode(text).ok()?;
    (bytes.len() == 34 && bytes.starts_with(&[0x00, 0x0b])).then(|| text.to_ascii_lowercase())
}
