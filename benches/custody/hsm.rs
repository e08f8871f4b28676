//! A SoftHSM with one token, in a folder of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::Session;
use local_vault::custody::PinSource;
use local_vault::custody::pkcs11::{KeyName, NewKey, Token, TokenConfig, TokenKey, TokenName};
use local_vault::protocol::Algorithm;
use tempfile::TempDir;

pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
pub(crate) const LABEL: &str = "bench";
const PIN: &str = "87654321";

pub(crate) struct SoftHsm {
    pub(crate) token: Arc<Token>,
    /// The module once more, for the bare loops. What the token logged in to holds for them too.
    bare: Pkcs11,
    folder: TempDir,
}

impl SoftHsm {
    /// Makes the token. Called before any thread is there.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (tokens, conf) = (folder.path().join("tokens"), folder.path().join("softhsm2.conf"));
        fs::create_dir(&tokens).unwrap();
        fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
        let pin_file = folder.path().join("pin");
        fs::write(&pin_file, PIN).unwrap();
        fs::set_permissions(&pin_file, Permissions::from_mode(0o600)).unwrap();
        // SAFETY: no other thread reads the environment, since there is none yet.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var("SOFTHSM2_CONF", &conf);
        }
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("softhsm2-util, which ci/setup installs").success(), "softhsm2-util makes a token");
        let token = Token::new(TokenConfig {
            module: MODULE.into(),
            token: TokenName { label: Some(LABEL.into()), serial: None },
            pin: PinSource::File(pin_file),
            profile: None,
            pin_memory: folder.path().into(),
        });
        let token = token.unwrap();
        token.connect().unwrap();
        Self { token, bare: Pkcs11::new(MODULE).unwrap(), folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pin_file(&self) -> PathBuf {
        self.folder.path().join("pin")
    }

    /// A new signing key, and its label.
    pub(crate) fn signing_key(&self, algorithm: Algorithm) -> (TokenKey, String) {
        let label = format!("bench-{}", algorithm.name());
        let name = KeyName { label: label.clone(), id: Some(local_vault::facts::random_id("").into_bytes()) };
        (self.token.generate(&NewKey { name, algorithm }).unwrap(), label)
    }

    /// A session of the module itself.
    pub(crate) fn session(&self) -> Session {
        let slots = self.bare.get_slots_with_token().unwrap();
        let slot = slots.into_iter().find(|&slot| self.bare.get_token_info(slot).unwrap().label() == LABEL);
        self.bare.open_ro_session(slot.unwrap()).unwrap()
    }
}

/// The one object that fits.
pub(crate) fn find(session: &Session, template: &[Attribute]) -> ObjectHandle {
    let found = session.find_objects(template).unwrap();
    assert_eq!(found.len(), 1, "{template:?}");
    found[0]
}
