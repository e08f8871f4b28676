#[path = "../token.rs"]
mod token;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
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
use local_vault::custody::{CustodyError, ErrorKind, SigningKey as _};
use local_vault::protocol::Algorithm;

pub(crate) use self::token::SoftHsm;
use self::token::TestToken;

/// The token of this process, for its tests and for the commands that they start.
pub(crate) struct Device {
    test: &'static TestToken,
    token: Arc<Token>,
    signing: Mutex<HashMap<String, Arc<TokenKey>>>,
    wrapping: Mutex<HashMap<String, Arc<TokenWrappingKey>>>,
}

const MODULE: &str = "LOCAL_VAULT_TEST_PKCS11_MODULE";

/// The token that the environment names, or a new one in SoftHSM.
pub(crate) fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let test = test_token();
        let token = Token::new(TokenConfig {
            module: test.module.clone(),
            token: TokenName { label: Some(test.label.clone()), serial: None },
            pin: PinSource::File(test.pin_file.clone()),
            profile: None,
            pin_memory: test.pin_memory.clone(),
        });
        Device { test, token: token.unwrap(), signing: Mutex::default(), wrapping: Mutex::default() }
    })
}

fn test_token() -> &'static TestToken {
    let named = std::env::var_os(MODULE).is_some().then(TestToken::named).flatten();
    named.unwrap_or_else(TestToken::softhsm)
}

impl Device {
    /// The Ed25519 key of this label, made where there is none.
    pub(crate) fn signing_key(&self, label: &str) -> Arc<TokenKey> {
        let name = name(label);
        known_or_made(
            &self.signing,
            label,
            || TokenKey::find(self.token.clone(), name.clone()),
            || {
                let new = NewKey { name: name.clone(), algorithm: Algorithm::Ed25519 };
                self.token.generate(&new)
            },
        )
    }

    /// The wrapping key with this number, made where there is none.
    pub(crate) fn wrapping_key(&self, number: u8, scheme: Scheme) -> Arc<TokenWrappingKey> {
        let label = wrapping_label(number, scheme);
        let name = name(&label);
        known_or_made(
            &self.wrapping,
            &label,
            || TokenWrappingKey::open(self.token.clone(), name.clone()),
            || self.token.generate_wrapping(&NewWrappingKey { name: name.clone(), scheme }),
        )
    }

    /// A SoftHSM with the keys that were made so far, for the commands of one test: what they do to its files no other
    /// test sees. None where the environment names the token.
    pub(crate) fn copied(&self) -> Option<SoftHsm> {
        // Nobody makes a key meanwhile.
        let (_signing, _wrapping) = (self.signing.lock().unwrap(), self.wrapping.lock().unwrap());
        std::env::var_os(MODULE).is_none().then(|| SoftHsm::of_this_process().copy())
    }

    pub(crate) fn module(&self) -> &Path {
        &self.test.module
    }

    pub(crate) fn label(&self) -> &str {
        &self.test.label
    }

    pub(crate) fn pin_file(&self) -> &Path {
        &self.test.pin_file
    }

    pub(crate) fn pin(&self) -> String {
        fs::read_to_string(&self.test.pin_file).unwrap()
    }

    /// The variables that name this token to another test process.
    pub(crate) fn named(&self) -> [(&'static str, String); 3] {
        [
            (MODULE, self.test.module.to_str().unwrap().to_owned()),
            ("LOCAL_VAULT_TEST_PKCS11_TOKEN_LABEL", self.test.label.clone()),
            ("LOCAL_VAULT_TEST_PKCS11_PIN", self.pin()),
        ]
    }
}

/// The key of that label, looked for and made by one thread at a time.
fn known_or_made<K>(
    known: &Mutex<HashMap<String, Arc<K>>>,
    label: &str,
    find: impl FnOnce() -> Result<K, CustodyError>,
    make: impl FnOnce() -> Result<K, CustodyError>,
) -> Arc<K> {
    let mut known = known.lock().unwrap();
    if let Some(key) = known.get(label) {
        return key.clone();
    }
    let key = Arc::new(find().or_else(|e| if e.kind == ErrorKind::NotFound { make() } else { Err(e) }).unwrap());
    known.insert(label.to_owned(), key.clone());
    key
}

pub(crate) fn wrapping_label(number: u8, scheme: Scheme) -> String {
    format!("wrapping-{number}-{}", scheme.name())
}

/// The id is the label, so that nobody has to remember it.
pub(crate) fn name(label: &str) -> KeyName {
    KeyName { label: label.to_owned(), id: Some(label.as_bytes().to_vec()) }
}

/// The label of the key that [`import`] made of this seed. Before the token is used in any other way: the module is
/// started for it and ended again.
pub(crate) fn imported(seed: [u8; 32]) -> &'static str {
    const LABEL: &str = "imported";
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| import(test_token(), LABEL, seed));
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
