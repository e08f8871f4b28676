//! Keys in a PKCS#11 token: a SoftHSM of the test process, or the one that `LOCAL_VAULT_TEST_PKCS11_*` names.

#[path = "../token.rs"]
mod test_token;

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use local_vault::custody::PinSource;
use local_vault::custody::file::FileKey;
use local_vault::custody::pkcs11::{
    KeyName, NewKey, NewWrappingKey, Scheme, Token, TokenConfig, TokenKey, TokenName, TokenWrappingKey,
};
use local_vault::custody::{CustodyError, ErrorKind, SharedSigningKey, SigningKey as _, WrappingKey};
use local_vault::protocol::Algorithm;

use self::test_token::{SoftHsm, TestToken};
use super::device::{Device, Named, OwnDevice, Settings, Words, known_or, text};

/// The token of this process, for its tests and for the commands that they start.
pub(super) struct TokenDevice {
    test: &'static TestToken,
    token: Arc<Token>,
    /// How its wrapping keys wrap.
    scheme: Scheme,
    signing: Mutex<HashMap<String, Arc<TokenKey>>>,
    wrapping: Mutex<HashMap<String, Arc<TokenWrappingKey>>>,
}

const MODULE: &str = "LOCAL_VAULT_TEST_PKCS11_MODULE";

impl TokenDevice {
    /// The token that the environment names, or a new one in SoftHSM.
    pub(super) fn new(scheme: Scheme) -> Self {
        let test = test_token();
        let token = Token::new(TokenConfig {
            module: test.module.clone(),
            token: TokenName { label: Some(test.label.clone()), serial: None },
            pin: PinSource::File(test.pin_file.clone()),
            profile: None,
            pin_memory: test.pin_memory.clone(),
        });
        Self { test, token: token.unwrap(), scheme, signing: Mutex::default(), wrapping: Mutex::default() }
    }

    /// The Ed25519 key of this label.
    fn key(&self, label: &str) -> Named<SharedSigningKey> {
        let name = name(label);
        let find = || TokenKey::find(self.token.clone(), name.clone()).map(Arc::new);
        let make = || self.token.generate(&NewKey { name: name.clone(), algorithm: Algorithm::Ed25519 }).map(Arc::new);
        let key = known_or(&self.signing, label, || find().or_else(|e| where_none(e, make)));
        Named { key, words: words_of(label) }
    }

    fn pin(&self) -> String {
        fs::read_to_string(&self.test.pin_file).unwrap()
    }
}

/// Makes a key where there is none, and for no other reason.
fn where_none<K>(why: CustodyError, make: impl FnOnce() -> Result<K, CustodyError>) -> Result<K, CustodyError> {
    if why.kind == ErrorKind::NotFound { make() } else { Err(why) }
}

fn test_token() -> &'static TestToken {
    let named = env::var_os(MODULE).is_some().then(TestToken::named).flatten();
    named.unwrap_or_else(TestToken::softhsm)
}

/// The id is the label, so that nobody has to remember it.
fn name(label: &str) -> KeyName {
    KeyName { label: label.to_owned(), id: Some(label.as_bytes().to_vec()) }
}

fn words_of(label: &str) -> Words {
    vec![("label", label.to_owned()), ("id", hex::encode(label))]
}

impl Device for TokenDevice {
    fn name(&self) -> &'static str {
        "pkcs11"
    }

    fn signing_key(&self, number: u8) -> Named<SharedSigningKey> {
        self.key(&format!("signing-{number}"))
    }

    fn record_key(&self, number: u8) -> Named<SharedSigningKey> {
        self.key(&format!("record-{number}"))
    }

    fn wrapping_key(&self, number: u8) -> Named<Arc<dyn WrappingKey>> {
        let label = format!("wrapping-{number}-{}", self.scheme.name());
        let name = name(&label);
        let find = || TokenWrappingKey::open(self.token.clone(), name.clone()).map(Arc::new);
        let new = NewWrappingKey { name: name.clone(), scheme: self.scheme };
        let make = || self.token.generate_wrapping(&new).map(Arc::new);
        let key = known_or(&self.wrapping, &label, || find().or_else(|e| where_none(e, make)));
        Named { key, words: words_of(&label) }
    }

    fn imported_key(&self, seed: [u8; 32]) -> Named<SharedSigningKey> {
        self.key(imported(self.test, seed))
    }

    fn has_published_settings(&self) -> bool {
        true
    }

    fn published_settings(&self, seed: [u8; 32]) -> Words {
        vec![
            ("SIGNING_PROVIDER", "pkcs11".into()),
            ("PKCS11_MODULE", text(&self.test.module)),
            ("PKCS11_TOKEN_LABEL", self.test.label.clone()),
            ("PKCS11_KEY_LABEL", imported(self.test, seed).into()),
            ("PKCS11_PIN_FILE", text(&self.test.pin_file)),
        ]
    }

    fn secrets(&self, _: u8) -> Vec<(&'static str, Vec<u8>)> {
        // Of a key in a token nobody knows a byte.
        vec![("the PIN", self.pin().into_bytes())]
    }

    fn share_with(&self, process: &mut Command) {
        process.env(MODULE, &self.test.module);
        process.env("LOCAL_VAULT_TEST_PKCS11_TOKEN_LABEL", &self.test.label);
        process.env("LOCAL_VAULT_TEST_PKCS11_PIN", self.pin());
    }

    fn own(&self) -> Box<dyn OwnDevice> {
        // Nobody makes a key meanwhile.
        let (_signing, _wrapping) = (self.signing.lock().unwrap(), self.wrapping.lock().unwrap());
        let copy = env::var_os(MODULE).is_none().then(|| SoftHsm::of_this_process().copy());
        Box::new(OwnToken { test: self.test, copy })
    }
}

/// A copy of the SoftHSM of this process, or the token that the environment names.
struct OwnToken {
    test: &'static TestToken,
    copy: Option<SoftHsm>,
}

impl OwnDevice for OwnToken {
    fn words(&self) -> Words {
        let TestToken { module, label, pin_file, .. } = self.test;
        vec![("module", text(module)), ("token_label", label.clone()), ("pin_file", text(pin_file))]
    }

    fn settings(&self) -> Settings {
        match &self.copy {
            Some(softhsm) => vec![("SOFTHSM2_CONF", softhsm.conf().into_os_string())],
            None => {
                ["KRYOPTIC_CONF", "SOFTHSM2_CONF"].iter().filter_map(|name| Some((*name, env::var_os(name)?))).collect()
            }
        }
    }

    /// SoftHSM loses its token where a login is killed, and refuses the right PIN to who reads it meanwhile. That was
    /// remembered, as it must be.
    fn mend(&self, folder: &Path) -> bool {
        let Some(copy) = &self.copy else { return false };
        let remembered = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("pkcs11-pin-") && fs::read_to_string(path).is_ok_and(|text| text.contains("refused"))
        });
        if let Some(path) = &remembered {
            fs::remove_file(path).unwrap();
        }
        SoftHsm::of_this_process().mend(copy) || remembered.is_some()
    }
}

/// The label of the key that [`import`] made of this seed. Before the token is used in any other way: the module is
/// started for it and ended again.
fn imported(test: &TestToken, seed: [u8; 32]) -> &'static str {
    const LABEL: &str = "imported";
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| import(test, LABEL, seed));
    LABEL
}

/// Puts a key that is known elsewhere into the token, fit to sign with.
fn import(test: &TestToken, label: &str, seed: [u8; 32]) {
    let context = Pkcs11::new(&test.module).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slots = context.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(|slot| context.get_token_info(*slot).unwrap().label() == test.label).unwrap();
    let session = context.open_rw_session(slot).unwrap();
    let pin = AuthPin::new(fs::read_to_string(&test.pin_file).unwrap().into());
    session.login(UserType::User, Some(&pin)).unwrap();
    let both = [
        Attribute::Token(true),
        Attribute::KeyType(KeyType::EC_EDWARDS),
        Attribute::Label(label.into()),
        Attribute::Id(label.into()),
        // RFC 8410: 1.3.101.112.
        Attribute::EcParams(vec![0x06, 0x03, 0x2b, 0x65, 0x70]),
    ];
    let private = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::AllowedMechanisms(vec![MechanismType::EDDSA]),
        Attribute::Value(seed.to_vec()),
    ];
    let point = [vec![0x04, 0x20], FileKey::from_seed(seed).public_key().to_bytes()].concat();
    let public = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcPoint(point),
    ];
    let known = session.find_objects(&both).unwrap();
    if known.is_empty() {
        for half in [private.as_slice(), &public] {
            session.create_object(&[both.as_slice(), half].concat()).unwrap();
        }
    }
    drop(session);
    context.finalize().unwrap();
}
