//! Tests inside the backend over real tokens, of what its public face does not let through: SoftHSM, and the token
//! that `LOCAL_VAULT_TEST_PKCS11_{MODULE,TOKEN_LABEL,PIN}` name.

#[path = "../../../tests/support/token.rs"]
mod support;

mod profile;
mod vectors;

use std::sync::Arc;

use self::support::TestToken;
use super::{Token, TokenConfig, TokenName};
use crate::custody::PinSource;

fn softhsm() -> Arc<Token> {
    open(TestToken::softhsm())
}

/// SoftHSM and the named token.
fn tokens() -> impl Iterator<Item = Arc<Token>> {
    [Some(TestToken::softhsm()), TestToken::named()].into_iter().flatten().map(open)
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
