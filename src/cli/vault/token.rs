use std::sync::Arc;

use super::Vault;
use crate::cli::failure::Failure;
use crate::config::Wrapping;
use crate::custody::pkcs11::{KeyName, Token, TokenConfig, TokenKey, TokenWrappingKey};
use crate::facts::folder_of;
use crate::protocol::PublicKey;

impl Vault {
    /// The token that is configured, the same one for every key of this process. Touches neither it nor its module.
    pub(in crate::cli) fn token(&self) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.token.get() {
            return Ok(token.clone());
        }
        let settings = self.settings.custody.token.as_ref().ok_or_else(|| {
            Failure::config(
                "no token is configured",
                "Set custody.backend to \"pkcs11\", and name module, token and PIN under [custody.pkcs11].",
            )
        })?;
        // Beside the spool: every process that may use the token writes there.
        self.make_folder(&self.settings.spool)?;
        let token = Token::new(TokenConfig {
            module: settings.module.clone(),
            token: settings.token.clone(),
            pin: settings.pin.clone(),
            profile: settings.profile.clone(),
            pin_memory: folder_of(&self.settings.spool).to_owned(),
        })?;
        Ok(self.token.get_or_init(|| token).clone())
    }

    /// A signing key in the token. One whose public half is not pinned is asked for it.
    pub(super) fn token_key(&self, name: &KeyName, public_key: Option<&PublicKey>) -> Result<TokenKey, Failure> {
        let token = self.token()?;
        match public_key {
            Some(public_key) => Ok(TokenKey::new(token, name.clone(), public_key.clone())),
            None => Ok(TokenKey::find(token, name.clone())?),
        }
    }

    /// The wrapping key in the token, where it is a token that wraps.
    pub(in crate::cli) fn token_wrapping_key(&self) -> Result<Option<TokenWrappingKey>, Failure> {
        match self.settings.custody.token.as_ref().map(|settings| &settings.wrapping) {
            None | Some(Wrapping::RootKey) => Ok(None),
            Some(Wrapping::Token(Some(name))) => Ok(Some(TokenWrappingKey::open(self.token()?, name.clone())?)),
            Some(Wrapping::Token(None)) => Err(Failure::config(
                "no wrapping key is configured",
                "Make one with `local-vault custody generate wrapping`, and name it under [custody.pkcs11.wrapping].",
            )),
        }
    }
}
