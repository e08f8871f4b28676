//! The published package's variables about keys in devices.

use super::backend::Backend;
use super::sources::{PREFIX, Sources};
#[cfg(feature = "pkcs11")]
use super::{
    file::FileCustody,
    settings::{KeyPlace, KeySetting},
    token::{TokenSettings, Wrapping},
};
#[cfg(feature = "pkcs11")]
use crate::custody::{
    PinSource,
    pkcs11::{KeyName, TokenName},
};

/// What SIGNING_PROVIDER may be in this build.
const PROVIDERS: &str = if cfg!(feature = "pkcs11") { "software, pkcs11 or pkcs11+tpm2" } else { "software" };

/// A key in a token, and a TPM's quote beside it.
pub(super) const PKCS11_TPM2: &str = "pkcs11+tpm2";

impl Sources<'_> {
    /// Settings that ask for more than there is stop the start, and are never served by something weaker (I4). Where
    /// there is a config file, it says what holds the keys (I8).
    pub(super) fn enough_is_asked_for(&self, has_file: bool, backend: Backend) {
        match self.variable("SIGNING_PROVIDER").as_deref() {
            None => {}
            Some("software") if !has_file || backend == Backend::File => {}
            #[cfg(feature = "pkcs11")]
            Some("pkcs11" | PKCS11_TPM2) if !has_file || backend == Backend::Pkcs11 => {}
            #[cfg(feature = "pkcs11")]
            Some("software" | "pkcs11" | PKCS11_TPM2) => {
                self.problem(format!("{PREFIX}SIGNING_PROVIDER contradicts custody.backend in the config file"));
            }
            Some(_) => self.problem(format!("{PREFIX}SIGNING_PROVIDER must be {PROVIDERS}")),
        }
    }

    /// The token, and the published signing key in it. A config file says which token, and a variable may only say the
    /// same; without one the variables name the token and one key for relay and witness.
    #[cfg(feature = "pkcs11")]
    pub(super) fn token(&self, file: &FileCustody, has_file: bool) -> (Option<TokenSettings>, Option<KeyPlace>) {
        if has_file {
            self.token_is_the_files(file);
            return (file.token.clone(), None);
        }
        if !matches!(self.variable("SIGNING_PROVIDER").as_deref(), Some("pkcs11" | PKCS11_TPM2)) {
            return (None, None);
        }
        let needed = |name: &str| {
            let value = self.variable(name);
            if value.is_none() {
                self.problem(format!("{PREFIX}{name} is required with {PREFIX}SIGNING_PROVIDER=pkcs11"));
            }
            value.unwrap_or_default()
        };
        let token = TokenSettings {
            module: needed("PKCS11_MODULE").into(),
            token: TokenName { label: Some(needed("PKCS11_TOKEN_LABEL")), serial: None },
            pin: PinSource::File(needed("PKCS11_PIN_FILE").into()),
            profile: None,
            wrapping: Wrapping::RootKey,
        };
        let name = KeyName { label: needed("PKCS11_KEY_LABEL"), id: None };
        (Some(token), Some(KeyPlace::Token { name, public_key: None }))
    }

    /// A variable says the same as the file, or is refused.
    #[cfg(feature = "pkcs11")]
    fn token_is_the_files(&self, file: &FileCustody) {
        let token = file.token.as_ref();
        let pin_file = token.and_then(|token| match &token.pin {
            PinSource::File(path) => Some(path.clone()),
            _ => None,
        });
        let key_label = match &file.relay {
            Some(KeySetting { place: KeyPlace::Token { name, .. }, .. }) => Some(name.label.clone()),
            _ => None,
        };
        let module = token.map(|token| token.module.clone());
        let token_label = token.and_then(|token| token.token.label.clone());
        for (name, key, is_there) in [
            ("PKCS11_MODULE", "custody.pkcs11.module", module.is_some()),
            ("PKCS11_TOKEN_LABEL", "custody.pkcs11.token_label", token_label.is_some()),
            ("PKCS11_PIN_FILE", "custody.pkcs11.pin_file", pin_file.is_some()),
            ("PKCS11_KEY_LABEL", "custody.keys.relay.label", key_label.is_some()),
        ] {
            self.trust_is_the_files(name, key, is_there);
        }
        self.agreed("PKCS11_MODULE", "custody.pkcs11.module", &None, module);
        self.agreed("PKCS11_TOKEN_LABEL", "custody.pkcs11.token_label", &None, token_label);
        self.agreed("PKCS11_PIN_FILE", "custody.pkcs11.pin_file", &None, pin_file);
        self.agreed("PKCS11_KEY_LABEL", "custody.keys.relay.label", &None, key_label);
    }
}
