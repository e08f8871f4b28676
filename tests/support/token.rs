//! Tokens for tests that call their modules themselves. Each test crate uses a part of this.

#![allow(dead_code, clippy::print_stderr, clippy::unwrap_used)]

#[path = "softhsm.rs"]
mod softhsm;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) use self::softhsm::SoftHsm;
use self::softhsm::{SECOND, goes_with_this_process, module, write_secret};

/// What opens a token.
#[derive(Clone)]
pub(crate) struct TestToken {
    pub(crate) module: PathBuf,
    pub(crate) label: String,
    pub(crate) pin_file: PathBuf,
    /// Where a refused PIN is remembered.
    pub(crate) pin_memory: PathBuf,
}

/// The variables that name a token of any module, to run the same tests over it.
const NAMED: [&str; 3] =
    ["LOCAL_VAULT_TEST_PKCS11_MODULE", "LOCAL_VAULT_TEST_PKCS11_TOKEN_LABEL", "LOCAL_VAULT_TEST_PKCS11_PIN"];

impl TestToken {
    /// The SoftHSM token of this process.
    pub(crate) fn softhsm() -> &'static Self {
        static TOKEN: OnceLock<TestToken> = OnceLock::new();
        TOKEN.get_or_init(|| {
            let softhsm = SoftHsm::of_this_process();
            Self::new(module(), softhsm.label(), softhsm.pin(), softhsm.conf().parent().unwrap())
        })
    }

    /// The second SoftHSM token of this process, for one test alone, and the folder of all its tokens.
    pub(crate) fn second_softhsm() -> (Self, PathBuf) {
        let first = Self::softhsm();
        let folder = &first.pin_memory;
        (Self { label: SECOND.to_owned(), ..first.clone() }, folder.join("tokens"))
    }

    /// The token that the environment names. Says loudly where it names none, and panics where it names half of one.
    pub(crate) fn named() -> Option<&'static Self> {
        static TOKEN: OnceLock<Option<TestToken>> = OnceLock::new();
        let token = TOKEN.get_or_init(|| {
            let [module, label, pin] = match NAMED.map(|name| std::env::var(name).ok()) {
                [Some(module), Some(label), Some(pin)] => [module, label, pin],
                [None, None, None] => return None,
                _ => panic!("set all of {NAMED:?}, or none"),
            };
            let folder = tempfile::tempdir().unwrap().keep();
            goes_with_this_process(&folder);
            Some(Self::new(module.into(), &label, &pin, &folder))
        });
        if token.is_none() {
            say(&format!("not run over another token: {NAMED:?} are not set"));
        }
        token.as_ref()
    }

    fn new(module: PathBuf, label: &str, pin: &str, folder: &Path) -> Self {
        let pin_file = folder.join("pin");
        write_secret(&pin_file, pin);
        Self { module, label: label.to_owned(), pin_file, pin_memory: folder.to_owned() }
    }
}

/// Tells what a test leaves out.
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
