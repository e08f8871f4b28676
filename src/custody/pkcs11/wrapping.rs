use std::fmt;
use std::sync::Arc;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{ObjectClass, ObjectHandle};
use zeroize::Zeroizing;

use super::allowed::{KeyUse, Scheme};
use super::attributes::Attributes;
use super::config::KeyName;
use super::fault::{Fault, means_gone};
use super::link::Linked;
use super::object::{refuse_unfit, unfit};
use super::per_generation::PerGeneration;
use super::resident::{ResidentDataKey, WrappedResident};
use super::token::Token;
use super::{error, object};
use crate::custody::{CustodyError, DataKey, ErrorKind, Protection, ReleasedDataKey, WrappedKey, WrappingKey};
use crate::facts::{Digest, Framed};

/// An AES key in a token, which wraps data keys in one way: the one that its attributes allow.
#[derive(Clone)]
pub struct TokenWrappingKey(Arc<Inner>);

struct Inner {
    token: Arc<Token>,
    name: KeyName,
    key_id: String,
    scheme: Scheme,
    /// The handle in this generation of the module, once the key was found fit in it.
    fit: PerGeneration<ObjectHandle>,
}

/// AES-GCM's nonce and tag, in bytes.
pub(super) const NONCE: usize = 12;
pub(super) const TAG: usize = 16;

impl TokenWrappingKey {
    /// Looks for the key and checks that it is fit: it may be used in one way only, and may never leave. Blocks.
    pub fn open(token: Arc<Token>, name: KeyName) -> Result<Self, CustodyError> {
        let fit = PerGeneration::default();
        let scheme = token.run(|linked| {
            let handle = object::find(linked, ObjectClass::SECRET_KEY, &name)?;
            let attributes = object::attributes(linked.session, handle)?;
            let scheme = attributes.scheme().map_err(|fault| unfit(&name, fault))?;
            refuse_other_use(linked, &name, &attributes, scheme)?;
            fit.get(linked.generation, || Ok(handle))?;
            Ok(scheme)
        })?;
        Ok(Self(Arc::new(Inner { key_id: key_id(&name), token, name, scheme, fit })))
    }

    pub(super) fn token(&self) -> &Token {
        &self.0.token
    }

    /// The key's handle, once for each generation after every check.
    pub(super) fn handle(&self, linked: &Linked<'_>) -> Result<ObjectHandle, Fault> {
        self.0.fit.get(linked.generation, || {
            let handle = object::find(linked, ObjectClass::SECRET_KEY, &self.0.name)?;
            let attributes = object::attributes(linked.session, handle)?;
            refuse_other_use(linked, &self.0.name, &attributes, self.0.scheme)?;
            Ok(handle)
        })
    }

    /// The data key leaves the token for as long as it is used: the token decrypts it under the context.
    fn release(&self, wrapped: &[u8], context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>().ok_or_else(does_not_unwrap)?;
        let opened = self.token().run(|linked| {
            let handle = self.handle(linked)?;
            let opened = gcm(*nonce, context, |mechanism| linked.session.decrypt(mechanism, handle, sealed));
            opened.map_err(|fault| self.opened_in_vain(linked, fault))
        });
        let opened = opened.map(Zeroizing::new)?;
        let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(opened.as_slice().try_into().map_err(|_| does_not_unwrap())?);
        Ok(Arc::new(ReleasedDataKey::new(&mut key)))
    }

    /// What it means that the token opened nothing: it may be gone, or have seen something that was changed. Some
    /// tokens say the same of both, so that it is looked whether the wrapping key is still there. What the standard has
    /// for a token that is gone is believed the first time: a device may fail once.
    pub(super) fn opened_in_vain(&self, linked: &Linked<'_>, fault: Fault) -> Fault {
        match fault {
            Fault::Device(e) if means_gone(&e) && !linked.again => e.into(),
            Fault::Device(_)
                if linked.answers() && object::find(linked, ObjectClass::SECRET_KEY, &self.0.name).is_ok() =>
            {
                does_not_unwrap().into()
            }
            fault => fault,
        }
    }

    fn generate_released(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        let no_luck = |_| error(ErrorKind::Broken, "wrap", "the kernel gave no randomness", "Start again later.");
        let mut key = Zeroizing::new([0; 32]);
        let mut nonce = [0; NONCE];
        getrandom::fill(key.as_mut()).and_then(|()| getrandom::fill(&mut nonce)).map_err(no_luck)?;
        let sealed = self.token().run(|linked| {
            let handle = self.handle(linked)?;
            gcm(nonce, context, |mechanism| linked.session.encrypt(mechanism, handle, key.as_ref()))
        })?;
        let wrapped = WrappedKey([nonce.as_slice(), &sealed].concat());
        // A key that does not unwrap would cost every record under it, and show at the next start only. What is used
        // is what unwraps.
        let key = self.release(&wrapped.0, context)?;
        Ok((wrapped, key))
    }
}

impl WrappingKey for TokenWrappingKey {
    fn key_id(&self) -> &str {
        &self.0.key_id
    }

    fn scheme(&self) -> &'static str {
        self.0.scheme.name()
    }

    fn protection(&self) -> Protection {
        match self.0.scheme {
            Scheme::AesGcm => Protection::DeviceReleased,
            Scheme::AesKw => Protection::DeviceResident,
        }
    }

    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        match self.0.scheme {
            Scheme::AesGcm => self.generate_released(context),
            Scheme::AesKw => {
                let wrapped = WrappedResident::generate(self, context)?;
                let stored = wrapped.to_stored();
                let key = ResidentDataKey::new(self.clone(), wrapped, context);
                // As for a released one; the first record would unwrap it anyway.
                key.check()?;
                Ok((stored, Arc::new(key)))
            }
        }
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        match self.0.scheme {
            Scheme::AesGcm => self.release(&wrapped.0, context),
            Scheme::AesKw => {
                let wrapped = WrappedResident::from_stored(wrapped).ok_or_else(does_not_unwrap)?;
                let key = ResidentDataKey::new(self.clone(), wrapped, context);
                key.check()?;
                Ok(Arc::new(key))
            }
        }
    }
}

impl fmt::Debug for TokenWrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenWrappingKey({})", self.0.key_id)
    }
}

/// A key that may do more than wrap in this way is refused.
fn refuse_other_use(
    linked: &Linked<'_>,
    name: &KeyName,
    attributes: &Attributes,
    scheme: Scheme,
) -> Result<(), CustodyError> {
    let restricts = linked.link.profile.restricts_mechanisms();
    refuse_unfit(name, &attributes.unfit(KeyUse::Wrap(scheme), restricts))
}

/// Does something in the token with AES-GCM, under a nonce and associated data.
pub(super) fn gcm<T>(
    mut nonce: [u8; NONCE],
    aad: &[u8],
    work: impl FnOnce(&Mechanism<'_>) -> cryptoki::error::Result<T>,
) -> Result<T, Fault> {
    let tag_bits = cryptoki::types::Ulong::new(TAG as u64 * 8);
    Ok(work(&Mechanism::AesGcm(GcmParams::new(&mut nonce, aad, tag_bits)?))?)
}

pub(super) fn does_not_unwrap() -> CustodyError {
    let advice = "The spool belongs to another wrapping key, or its epoch record was changed.";
    error(ErrorKind::Broken, "unwrap", "an epoch's data key does not unwrap", advice)
}

/// Names the key in epoch records by what names it in the token: the same key in a token's backup has the same name.
fn key_id(name: &KeyName) -> String {
    let framed = Framed::new("local-vault.pkcs11.key-id.v1")
        .bytes(name.label.as_bytes())
        .bytes(name.id.as_deref().unwrap_or_default());
    format!("pkcs11-{}", hex::encode(&Digest::of(framed.as_bytes()).as_bytes()[..8]))
}
