//! Vectors from outside (`tests/vectors/README.md`), signed and sealed in a token. What the backend signs carries a
//! domain, and what it seals has a nonce of its own, so that none of them gets in from outside.

use std::collections::HashMap;
use std::sync::Arc;

use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};

use super::super::allowed::KeyUse;
use super::super::fault::Fault;
use super::super::generate::signing_template;
use super::super::link::Linked;
use super::super::resident::decrypt;
use super::super::wrapping::gcm;
use super::super::{KeyName, NewKey, Scheme, Token, TokenKey, curve};
use super::{softhsm, support, tokens};
use crate::custody::{CustodyError, ErrorKind, Sealed};
use crate::facts::random_id;
use crate::protocol::json::{self, Object};
use crate::protocol::{Algorithm, PublicKey};

const RFC_8032: &str = include_str!("../../../../tests/vectors/rfc8032.jsonl");
const ED25519: &str = include_str!("../../../../tests/vectors/wycheproof-ed25519.jsonl");
const AES_GCM: &str = include_str!("../../../../tests/vectors/wycheproof-aes-gcm.jsonl");

#[test]
fn an_imported_seed_signs_as_rfc_8032_and_wycheproof_say() {
    let rows = [rows(RFC_8032, 5), rows(ED25519, 151)].concat();
    for token in tokens() {
        let import = |row| Imported::new(&token, text(row, "seed"), text(row, "public_key"));
        if !takes_keys(&token, import(&rows[0])) {
            continue;
        }
        let mut keys: HashMap<&str, Imported> = HashMap::new();
        let mut compared = 0;
        for row in rows.iter().filter(|row| row.get_str("seed").is_some()) {
            let key = keys.entry(text(row, "seed")).or_insert_with(|| import(row).unwrap());
            let message = bytes(row, "msg");
            let signed = token.run(|linked| key.key.sign_bytes(linked, key.key.handle(linked)?, &message)).unwrap();
            assert_eq!(signed.to_hex() == text(row, "sig"), is_valid(row), "{token:?}: {row:?}");
            compared += 1;
        }
        assert_eq!(compared, 5 + 149, "{token:?}");
    }
}

#[test]
fn aes_gcm_seals_and_opens_as_wycheproof_says() {
    for token in tokens() {
        let rows = rows(AES_GCM, 66);
        if !takes_keys(&token, with_key(&token, &rows[0], |_, _| Ok(()))) {
            continue;
        }
        for row in &rows {
            let (iv, aad, record) = (bytes(row, "iv").try_into().unwrap(), bytes(row, "aad"), bytes(row, "msg"));
            let sealed = [bytes(row, "ct"), bytes(row, "tag")].concat();
            if is_valid(row) {
                let ours = with_key(&token, row, |linked, key| {
                    gcm(iv, &aad, |mechanism| linked.session.encrypt(mechanism, key, &record))
                });
                assert_eq!(ours.unwrap(), sealed, "{token:?}: {row:?}");
            }
            let sealed = Sealed { nonce: iv.to_vec(), ciphertext: sealed };
            let opened = with_key(&token, row, |linked, key| {
                Ok(decrypt(linked.session, key, &aad, &sealed).map_err(|fault| fault.or(ErrorKind::Broken, "", "")))
            });
            match opened.unwrap() {
                Ok(opened) => assert!(is_valid(row) && *opened == record, "{token:?}: {row:?}"),
                Err(e) => assert!(!is_valid(row), "{token:?}: {row:?}: {e}"),
            }
        }
    }
}

/// A private key from a seed, which goes with this.
struct Imported {
    token: Arc<Token>,
    name: KeyName,
    key: TokenKey,
}

impl Imported {
    fn new(token: &Arc<Token>, seed: &str, public: &str) -> Result<Self, CustodyError> {
        let id = random_id("");
        let name = KeyName { label: format!("local-vault-trial-{id}"), id: Some(id.into_bytes()) };
        token.change(|linked| {
            let new = NewKey { name: name.clone(), algorithm: Algorithm::Ed25519 };
            let mut template = signing_template(linked, &new);
            template.extend([
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::EcParams(curve::params(new.algorithm, linked.link.profile.ed25519_params())),
                Attribute::Value(hex::decode(seed).unwrap()),
            ]);
            Ok(linked.session.create_object(&template)?)
        })?;
        let key = TokenKey::new(token.clone(), name.clone(), PublicKey::from_hex(public).unwrap());
        Ok(Self { token: token.clone(), name, key })
    }
}

impl Drop for Imported {
    fn drop(&mut self) {
        let _ = self.token.destroy(&self.name);
    }
}

/// Some tokens take no key from outside. SoftHSM does.
fn takes_keys<T>(token: &Arc<Token>, imported: Result<T, CustodyError>) -> bool {
    if let Err(e) = &imported {
        assert!(token.name() != softhsm().name(), "{e}");
        support::say(&format!("not run over {token:?}, which takes no key from outside: {e}"));
    }
    imported.is_ok()
}

/// Works with an AES key, which goes with the work.
fn with_key<T>(
    token: &Token,
    row: &Object,
    work: impl Fn(&Linked<'_>, ObjectHandle) -> Result<T, Fault>,
) -> Result<T, CustodyError> {
    token.run(|linked| {
        let mut template = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(false),
            Attribute::Value(bytes(row, "key")),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
        ];
        if linked.link.profile.restricts_mechanisms() {
            template.push(Attribute::AllowedMechanisms(vec![KeyUse::Wrap(Scheme::AesGcm).mechanism()]));
        }
        let key = linked.session.create_object(&template)?;
        let done = work(linked, key);
        linked.session.destroy_object(key)?;
        done
    })
}

fn rows(text: &str, count: usize) -> Vec<Object> {
    let rows: Vec<Object> = text.lines().map(|row| json::parse(row.as_bytes()).unwrap()).collect();
    assert_eq!(rows.len(), count);
    rows
}

fn text<'a>(row: &'a Object, field: &str) -> &'a str {
    row.get_str(field).unwrap()
}

fn bytes(row: &Object, field: &str) -> Vec<u8> {
    hex::decode(text(row, field)).unwrap()
}

fn is_valid(row: &Object) -> bool {
    text(row, "result") == "valid"
}
