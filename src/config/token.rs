use std::path::{Path, PathBuf};

use super::backend::Backend;
use super::pin;
use super::reader::Section;
use super::settings::KeyPlace;
use crate::custody::PinSource;
use crate::custody::pkcs11::{KeyName, TokenName};
use crate::protocol::PublicKey;

/// A PKCS#11 token, and the key in it that opens the spool.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The vendor's module.
    pub module: PathBuf,
    /// Which token.
    pub token: TokenName,
    /// Where its PIN comes from.
    pub pin: PinSource,
    /// A profile of one's own.
    pub profile: Option<PathBuf>,
    /// What wraps the spool's data keys.
    pub wrapping: Wrapping,
}

/// What wraps the spool's data keys.
#[derive(Debug, Clone)]
pub enum Wrapping {
    /// The root key of the file backend, as the published settings have it.
    RootKey,
    /// A key in the token; `None` as long as there is none yet.
    Token(Option<KeyName>),
}

/// `[custody.pkcs11]` of a config file.
pub(super) fn read(mut section: Section<'_>, backend: Backend, folder: &Path) -> Option<TokenSettings> {
    if backend != Backend::Pkcs11 {
        if !section.is_empty() {
            section.problem("is there, and custody.backend is not \"pkcs11\"");
            section.pass_over();
        }
        return None;
    }
    if !section.has("module") || !(section.has("token_label") || section.has("token_serial")) {
        section.problem("needs module, and token_label or token_serial");
    }
    let module = section.path("module", folder);
    let token = TokenName { label: section.text("token_label"), serial: section.text("token_serial") };
    let profile = section.path("profile", folder);
    let pin = pin::read(&mut section, folder);
    let mut wrapping = section.section("wrapping");
    let wrapping_key = (!wrapping.is_empty()).then(|| {
        wrapping.needs(&["label", "id"]);
        name(&mut wrapping)
    });
    wrapping.end();
    section.end();
    let wrapping = Wrapping::Token(wrapping_key.flatten());
    Some(TokenSettings { module: module?, token, pin: pin?, profile, wrapping })
}

/// A key in the token: by its name, and by the public half that it must have.
pub(super) fn read_key(section: &mut Section<'_>) -> Option<KeyPlace> {
    section.needs(&["label", "id", "public_key", "kid"]);
    let name = name(section);
    let form = "64 hex digits for Ed25519, or 130 for P-256";
    let public_key = section.parsed("public_key", form, |text| PublicKey::from_hex(text).ok());
    Some(KeyPlace::Token { name: name?, public_key: Some(public_key?) })
}

fn name(section: &mut Section<'_>) -> Option<KeyName> {
    let label = section.text("label");
    let id = section.parsed("id", "hex digits", |text| hex::decode(text).ok().filter(|id| !id.is_empty()));
    Some(KeyName { label: label?, id: Some(id?) })
}
