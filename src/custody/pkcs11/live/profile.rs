//! What a profile says of a token, measured on the token: a profile that is wrong fails here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cryptoki::error::Error;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::super::curve::{self, EcParams};
use super::super::fault::{Fault, code, means_gone};
use super::super::link::Linked;
use super::super::wrapping::{NONCE, gcm};
use super::super::{KeyName, NewKey, Profile, Scheme, Token, object};
use super::support::TestToken;
use super::{open, softhsm, tokens};
use crate::protocol::Algorithm;

const GCM: MechanismType = MechanismType::AES_GCM;

#[test]
fn softhsm_has_the_profile_of_its_name() {
    assert_eq!(softhsm().facts().unwrap().profile.name, "softhsm2");
}

#[test]
fn a_token_opens_as_many_sessions_as_its_profile_says_and_softhsm_many_more() {
    for token in tokens() {
        let profile = token.facts().unwrap().profile;
        let wanted = if profile.name == "softhsm2" { 1_000 } else { profile.most_sessions() };
        let opened = token.change(|linked| {
            let open = || linked.module.context().open_ro_session(linked.link.slot);
            Ok((0..wanted).map(|_| open()).collect::<Result<Vec<_>, _>>()?.len())
        });
        assert_eq!(opened, Ok(wanted), "{token:?}");
    }
}

#[test]
fn softhsm_takes_both_names_of_curve25519_and_its_private_key_has_the_printable_one() {
    let token = softhsm();
    for form in [EcParams::Oid, EcParams::PrintableString] {
        let read = token.change(|Linked { session, .. }| {
            let public = [Attribute::Token(false), Attribute::EcParams(curve::params(Algorithm::Ed25519, form))];
            let private = [Attribute::Token(false)];
            let made = session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
            let params = |half| session.get_attributes(half, &[AttributeType::EcParams]);
            Ok([params(made.0)?, params(made.1)?])
        });
        let expected = [form, EcParams::PrintableString];
        let expected = expected.map(|form| vec![Attribute::EcParams(curve::params(Algorithm::Ed25519, form))]);
        assert_eq!(read.unwrap(), expected, "{form:?}");
    }
}

#[test]
fn a_token_keeps_a_key_to_its_mechanisms_where_its_profile_says_so() {
    for (token, profile) in measured() {
        let (free, kept) =
            token.change(|Linked { session, .. }| Ok((ecb(session, &[])?, ecb(session, &[GCM])?))).unwrap();
        assert!(free.is_ok(), "{token:?}: {free:?}");
        let refused = kept.is_err_and(|e| code(&e) == "CKR_MECHANISM_INVALID");
        assert_eq!(refused, profile.restricts_mechanisms(), "{token:?}");
    }
}

#[test]
fn a_token_wraps_by_the_schemes_of_its_profile_and_by_no_other() {
    for (token, profile) in measured() {
        let (by_gcm, by_kw) =
            token.change(|Linked { session, .. }| Ok((wraps_by_gcm(session), wraps_by_kw(session)))).unwrap();
        assert_eq!(by_gcm.is_ok(), profile.knows(Scheme::AesGcm), "{token:?}: {by_gcm:?}");
        assert_eq!(by_kw.is_ok(), profile.knows(Scheme::AesKw), "{token:?}: {by_kw:?}");
    }
}

/// Also what SoftHSM answers while its token is not there, by any call that a signature begins with.
#[test]
fn a_softhsm_token_that_is_gone_says_so_by_the_codes_of_its_profile() {
    let (opens, folder) = TestToken::second_softhsm();
    let token = open(&opens);
    let name = KeyName { label: "gone".into(), id: Some(vec![1]) };
    token.generate(&NewKey { name: name.clone(), algorithm: Algorithm::Ed25519 }).unwrap();
    let folder = folder_of(&folder, &token.facts().unwrap().serial);
    let said = token.change(|linked| {
        let key = object::find(linked, ObjectClass::PRIVATE_KEY, &name)?;
        let sign = || {
            let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
            linked.session.sign(&mechanism, key, b"message").map(drop)
        };
        sign()?;
        let away = folder.with_extension("away");
        fs::rename(&folder, away).unwrap();
        let said = [sign(), linked.module.ask(linked.link.slot).map(drop)];
        let means_gone = |e: &Error| means_gone(e) || linked.link.profile.may_mean_gone(e);
        Ok(said.map(|said| said.map_err(|e| (code(&e), means_gone(&e)))))
    });
    for said in said.unwrap() {
        assert!(matches!(said, Err((_, true))), "{said:?}");
    }
}

/// Where SoftHSM keeps the token with this serial: the last digits of the folder's name.
fn folder_of(tokens: &Path, serial: &str) -> PathBuf {
    let mut folders = fs::read_dir(tokens).unwrap().map(|entry| entry.unwrap().path());
    folders.find(|path| path.to_str().unwrap().replace('-', "").ends_with(serial)).unwrap()
}

/// The tokens whose profile claims to be measured.
fn measured() -> impl Iterator<Item = (Arc<Token>, Profile)> {
    let with_profile = tokens().map(|token| (token.clone(), token.facts().unwrap().profile));
    with_profile.filter(|(_, profile)| profile.measured.is_some())
}

/// Encrypts a block by ECB, with a new key that is kept to these mechanisms.
fn ecb(session: &Session, allowed: &[MechanismType]) -> Result<cryptoki::error::Result<Vec<u8>>, Fault> {
    let allowed = (!allowed.is_empty()).then(|| Attribute::AllowedMechanisms(allowed.to_vec()));
    let key = aes(session, &[Attribute::Encrypt(true)].into_iter().chain(allowed).collect::<Vec<_>>())?;
    Ok(session.encrypt(&Mechanism::AesEcb, key, &[0; 16]))
}

fn wraps_by_gcm(session: &Session) -> Result<(), Fault> {
    let key = aes(session, &[Attribute::Encrypt(true), Attribute::Decrypt(true)])?;
    let wrapped = gcm([7; NONCE], b"context", |mechanism| session.encrypt(mechanism, key, &[1; 32]))?;
    let opened = gcm([7; NONCE], b"context", |mechanism| session.decrypt(mechanism, key, &wrapped))?;
    assert_eq!(opened, [1; 32]);
    Ok(())
}

fn wraps_by_kw(session: &Session) -> Result<(), Fault> {
    let key = aes(session, &[Attribute::Wrap(true), Attribute::Unwrap(true)])?;
    let data = aes(session, &[Attribute::Extractable(true), Attribute::Encrypt(true)])?;
    let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, key, data)?;
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Extractable(false),
    ];
    session.unwrap_key(&Mechanism::AesKeyWrap, key, &wrapped, &template)?;
    Ok(())
}

/// A new AES key, which ends with the session.
fn aes(session: &Session, more: &[Attribute]) -> cryptoki::error::Result<ObjectHandle> {
    let base = [Attribute::Token(false), Attribute::Sensitive(true), Attribute::ValueLen(32.into())];
    session.generate_key(&Mechanism::AesKeyGen, &[&base, more].concat())
}
