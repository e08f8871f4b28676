#[path = "../support/token.rs"]
mod token;

use std::sync::{Arc, OnceLock};

use local_vault::custody::PinSource;
use local_vault::custody::conformance::Subject;
use local_vault::custody::pkcs11::{Token, TokenConfig, TokenName, Trial};

use token::TestToken;

/// One token for every test of this process: each names its keys as no other does, and they work at once.
pub(super) fn softhsm() -> Option<Box<dyn Subject>> {
    static TOKEN: OnceLock<Arc<Token>> = OnceLock::new();
    Some(Box::new(Trial::new(TOKEN.get_or_init(|| open(TestToken::softhsm())).clone())))
}

pub(super) fn named() -> Option<Box<dyn Subject>> {
    static TOKEN: OnceLock<Arc<Token>> = OnceLock::new();
    let token = TestToken::named()?;
    Some(Box::new(Trial::new(TOKEN.get_or_init(|| open(token)).clone())))
}

fn open(token: &TestToken) -> Arc<Token> {
    Token::new(TokenConfig {
        module: token.module.clone(),
        token: TokenName { label: Some(token.label.clone()), serial: None },
        pin: PinSource::File(token.pin_file.clone()),
        profile: None,
        pin_memory: token.pin_memory.clone(),
    })
    .unwrap()
}
