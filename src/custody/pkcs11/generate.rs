use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::allowed::{KeyUse, Scheme};
use super::config::KeyName;
use super::fault::{Fault, device_error};
use super::key::TokenKey;
use super::link::Linked;
use super::token::Token;
use super::wrapping::TokenWrappingKey;
use super::{curve, error, object};
use crate::custody::{CustodyError, ErrorKind, SigningKey as _};
use crate::protocol::Algorithm;

/// A signing key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Under this name with an id, which no object of the token may have yet.
    pub name: KeyName,
    /// For this algorithm.
    pub algorithm: Algorithm,
}

/// A wrapping key to be made.
#[derive(Debug, Clone)]
pub struct NewWrappingKey {
    /// Under this name with an id, which no object of the token may have yet.
    pub name: KeyName,
    /// To wrap in this way alone.
    pub scheme: Scheme,
}

impl Token {
    /// Makes a signing key in the token, fit for nothing else, and checks what the token really made: its attributes
    /// are read back, and two signatures are verified. What is unfit is destroyed again. Blocks.
    pub fn generate(self: &Arc<Self>, new: &NewKey) -> Result<TokenKey, CustodyError> {
        let public = self.change(|linked| {
            let session = linked.session;
            refuse_taken(session, &new.name)?;
            let made = make_pair(linked, new)?;
            keep_if(session, &made, || {
                refuse_twice(session, ObjectClass::PRIVATE_KEY, &new.name)?;
                object::public_key(session, &new.name)?.ok_or_else(|| unreadable().into())
            })
        })?;
        let key = TokenKey::new(self.clone(), new.name.clone(), public);
        match key.check() {
            Ok(()) => Ok(key),
            Err(unfit) => Err(self.destroy_unfit(&new.name, unfit)),
        }
    }

    /// Makes a wrapping key in the token, fit for one way of wrapping, and checks what the token really made. Blocks.
    pub fn generate_wrapping(self: &Arc<Self>, new: &NewWrappingKey) -> Result<TokenWrappingKey, CustodyError> {
        self.change(|linked| {
            let session = linked.session;
            refuse_taken(session, &new.name)?;
            if !linked.link.profile.knows(new.scheme) {
                let message = format!("this token does not wrap with {}", new.scheme.name());
                let advice = format!("That says its profile, {}. Name another scheme.", linked.link.profile.name);
                return Err(error(ErrorKind::Unsupported, "generate", message, advice).into());
            }
            let made = [session.generate_key(&Mechanism::AesKeyGen, &wrapping_template(linked, new))?];
            keep_if(session, &made, || refuse_twice(session, ObjectClass::SECRET_KEY, &new.name))
        })?;
        let opened = TokenWrappingKey::open(self.clone(), new.name.clone());
        opened.map_err(|unfit| self.destroy_unfit(&new.name, unfit))
    }

    /// Destroys every object of this name: the halves of a key pair, or a wrapping key. Blocks.
    pub(super) fn destroy(&self, name: &KeyName) -> Result<(), CustodyError> {
        self.change(|linked| {
            let session = linked.session;
            let mut objects = Vec::new();
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY] {
                objects.extend(object::find_all(session, class, name)?);
            }
            destroy_all(session, &objects)
        })
    }

    /// Leaves nothing behind that looks like a key and is none.
    fn destroy_unfit(&self, name: &KeyName, unfit: CustodyError) -> CustodyError {
        match self.destroy(name) {
            Ok(()) => CustodyError { advice: format!("The new key was destroyed again. {}", unfit.advice), ..unfit },
            Err(e) => {
                tracing::warn!(error = e.origin(), "the new key was not destroyed");
                let advice = format!("The {name} was not destroyed: do it with the maker's tool. {}", unfit.advice);
                CustodyError { advice, ..unfit }
            }
        }
    }
}

fn make_pair(linked: &Linked<'_>, new: &NewKey) -> Result<[ObjectHandle; 2], Fault> {
    let profile = &linked.link.profile;
    let mechanism = match new.algorithm {
        Algorithm::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        Algorithm::Es256 => Mechanism::EccKeyPairGen,
    };
    let mut public = named(&new.name, object::key_type(new.algorithm));
    public.extend([
        Attribute::EcParams(curve::params(new.algorithm, profile.ed25519_params())),
        Attribute::Private(false),
        Attribute::Verify(true),
    ]);
    let (public, private) = linked.session.generate_key_pair(&mechanism, &public, &signing_template(linked, new))?;
    Ok([public, private])
}

/// A private key that signs, and does nothing else.
pub(super) fn signing_template(linked: &Linked<'_>, new: &NewKey) -> Vec<Attribute> {
    let mut template = named(&new.name, object::key_type(new.algorithm));
    template.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    if linked.link.profile.restricts_mechanisms() {
        template.push(Attribute::AllowedMechanisms(vec![KeyUse::Sign(new.algorithm).mechanism()]));
    }
    template
}

fn wrapping_template(linked: &Linked<'_>, new: &NewWrappingKey) -> Vec<Attribute> {
    let opens = new.scheme == Scheme::AesGcm;
    let mut template = named(&new.name, KeyType::AES);
    template.extend([
        Attribute::ValueLen(32.into()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(opens),
        Attribute::Decrypt(opens),
        Attribute::Wrap(!opens),
        Attribute::Unwrap(!opens),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Derive(false),
    ]);
    if linked.link.profile.restricts_mechanisms() {
        template.push(Attribute::AllowedMechanisms(vec![KeyUse::Wrap(new.scheme).mechanism()]));
    }
    template
}

fn named(name: &KeyName, key_type: KeyType) -> Vec<Attribute> {
    let label = Attribute::Label(name.label.clone().into_bytes());
    let id = name.id.clone().map(Attribute::Id);
    [Attribute::Token(true), Attribute::KeyType(key_type), label].into_iter().chain(id).collect()
}

/// A name is taken where any object has its label, or its id: whoever looks for a key by either must find one.
fn refuse_taken(session: &Session, name: &KeyName) -> Result<(), Fault> {
    let Some(id) = &name.id else {
        let advice = "Nothing was made. Name an id: by a label alone, what is destroyed again may be another's.";
        return Err(error(ErrorKind::Misconfigured, "generate", "a new key needs an id", advice).into());
    };
    let same_label =
        session.find_objects(&[Attribute::Token(true), Attribute::Label(name.label.clone().into_bytes())])?;
    let same_id = session.find_objects(&[Attribute::Token(true), Attribute::Id(id.clone())])?;
    if same_label.is_empty() && same_id.is_empty() {
        return Ok(());
    }
    let what =
        if same_label.is_empty() { format!("id {}", hex::encode(id)) } else { format!("label {:?}", name.label) };
    let message = format!("the token already holds an object with the {what}");
    Err(error(
        ErrorKind::Refused,
        "generate",
        message,
        "Nothing was made or changed. Choose another one; `local-vault custody list` shows what is there.",
    )
    .into())
}

/// Tokens allow the same name twice: two that generate at once both find it free.
fn refuse_twice(session: &Session, class: ObjectClass, name: &KeyName) -> Result<(), Fault> {
    let same = KeyName { label: name.label.clone(), id: None };
    if object::find_all(session, class, &same)?.len() == 1 {
        return Ok(());
    }
    let message = format!("somebody else made a {name} at the same time");
    Err(error(ErrorKind::Refused, "generate", message, "The new key was destroyed again. Choose another label.").into())
}

/// Keeps what was made where `check` says so, and destroys it again otherwise.
fn keep_if<T>(session: &Session, made: &[ObjectHandle], check: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let checked = check();
    if checked.is_err() {
        destroy_all(session, made)?;
    }
    checked
}

/// Destroys each of them, also where one of them stays.
fn destroy_all(session: &Session, objects: &[ObjectHandle]) -> Result<(), Fault> {
    // Some tokens take the other half of a pair away with the first.
    let is_gone = |e: &Error| matches!(e, Error::Pkcs11(RvError::ObjectHandleInvalid, _));
    let destroyed = objects.iter().map(|object| session.destroy_object(*object));
    let kept = destroyed.filter_map(Result::err).filter(|e| !is_gone(e)).last();
    kept.map_or(Ok(()), |e| {
        let message = "the token does not destroy a key again";
        Err(device_error(&e, ErrorKind::Broken, message, "Do it with the maker's tool; nothing uses the key.").into())
    })
}

fn unreadable() -> CustodyError {
    let message = "the token shows no public half of the key that it made";
    error(ErrorKind::Unsupported, "generate", message, "The new key was destroyed again. Run its maker's own test.")
}
