use std::fmt;

use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::fault::Fault;
use super::link::Linked;
use super::per_generation::PerGeneration;
use super::wrapping::{NONCE, TAG, TokenWrappingKey, does_not_unwrap, gcm};
use super::{error, object};
use crate::custody::{CustodyError, DataKey, ErrorKind, Residence, Sealed, WrappedKey};

/// A data key that never leaves its token: a session object, which seals and opens with AES-256-GCM there, under
/// nonces of the token's own randomness. It is unwrapped again where the token was away.
///
/// A random nonce of 96 bits is fit for 2^32 records (SP 800-38D, section 8.3): rotate before that.
pub(super) struct ResidentDataKey {
    wrapping: TokenWrappingKey,
    wrapped: WrappedResident,
    context: Vec<u8>,
    /// The session object in this generation of the module.
    handle: PerGeneration<ObjectHandle>,
}

/// A data key as AES-KW wraps it. AES-KW binds no context, so that the data key itself seals a fixed text under the
/// context beside it.
#[derive(Debug, Clone)]
pub(super) struct WrappedResident {
    /// AES-KW of 32 bytes.
    key: [u8; KEY],
    binding: Sealed,
}

/// 32 bytes and the 8 that AES-KW adds (RFC 3394).
const KEY: usize = 40;
const BINDING: &[u8] = b"local-vault resident data key v1";

impl WrappedResident {
    /// Makes a data key in the token and wraps it there. The key may be wrapped for that moment, by the wrapping key;
    /// the one that is used later is unwrapped as one that may not.
    pub(super) fn generate(wrapping: &TokenWrappingKey, context: &[u8]) -> Result<Self, CustodyError> {
        wrapping.token().run(|linked| {
            let wraps = wrapping.handle(linked)?;
            let made = linked.session.generate_key(&Mechanism::AesKeyGen, &template(linked, true))?;
            let wrapped = linked.session.wrap_key(&Mechanism::AesKeyWrap, wraps, made);
            let nonce = nonce(linked.session)?;
            let sealed = gcm(nonce, context, |mechanism| linked.session.encrypt(mechanism, made, BINDING));
            linked.session.destroy_object(made)?;
            let key = wrapped?.try_into().map_err(|_| {
                error(ErrorKind::Unsupported, "C_WrapKey", "the token wraps a key to another length", "Use aes-gcm.")
            })?;
            Ok(Self { key, binding: Sealed { nonce: nonce.to_vec(), ciphertext: sealed? } })
        })
    }

    pub(super) fn to_stored(&self) -> WrappedKey {
        WrappedKey([self.key.as_slice(), &self.binding.nonce, &self.binding.ciphertext].concat())
    }

    pub(super) fn from_stored(stored: &WrappedKey) -> Option<Self> {
        let (key, rest) = stored.0.split_first_chunk::<KEY>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>()?;
        let binding = Sealed { nonce: nonce.to_vec(), ciphertext: ciphertext.to_vec() };
        (ciphertext.len() == BINDING.len() + TAG).then_some(Self { key: *key, binding })
    }
}

impl ResidentDataKey {
    pub(super) fn new(wrapping: TokenWrappingKey, wrapped: WrappedResident, context: &[u8]) -> Self {
        Self { wrapping, wrapped, context: context.to_vec(), handle: PerGeneration::default() }
    }

    /// Unwraps the key, where that was not done yet.
    pub(super) fn check(&self) -> Result<(), CustodyError> {
        self.wrapping.token().run(|linked| self.handle(linked).map(drop))
    }

    fn handle(&self, linked: &Linked<'_>) -> Result<ObjectHandle, Fault> {
        self.handle.get(linked.generation, || {
            let wraps = self.wrapping.handle(linked)?;
            // Every session may use the object, and it dies with the one that made it: that is the one that stays.
            let holder = linked.link.login();
            let key = &self.wrapped.key;
            let unwrapped = holder.unwrap_key(&Mechanism::AesKeyWrap, wraps, key, &template(linked, false));
            let unwrapped = unwrapped.map_err(|e| self.wrapping.opened_in_vain(linked, e.into()))?;
            let proved = self.prove(linked, &holder, unwrapped);
            if proved.is_err() {
                // It would else stay until the process ends.
                let _ = holder.destroy_object(unwrapped);
            }
            proved.map(|()| unwrapped)
        })
    }

    /// That the token has unwrapped the key as it was told to, and that it is the key of this context.
    fn prove(&self, linked: &Linked<'_>, holder: &Session, unwrapped: ObjectHandle) -> Result<(), Fault> {
        if !object::attributes(holder, unwrapped)?.stays() {
            let message = "the token unwraps data keys as ones that may leave it";
            let advice = "Make a wrapping key without --resident, and a new spool.";
            return Err(error(ErrorKind::Unsupported, "C_UnwrapKey", message, advice).into());
        }
        let bound = decrypt(holder, unwrapped, &self.context, &self.wrapped.binding);
        let bound = bound.map_err(|fault| self.wrapping.opened_in_vain(linked, fault))?;
        if *bound == BINDING { Ok(()) } else { Err(does_not_unwrap().into()) }
    }
}

impl DataKey for ResidentDataKey {
    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, CustodyError> {
        self.wrapping.token().run(|linked| {
            let handle = self.handle(linked)?;
            let nonce = nonce(linked.session)?;
            let ciphertext = gcm(nonce, aad, |mechanism| linked.session.encrypt(mechanism, handle, plaintext))?;
            if ciphertext.len() != plaintext.len() + TAG {
                let message = format!("the token sealed {} bytes as {}", plaintext.len(), ciphertext.len());
                return Err(error(ErrorKind::Broken, "C_Encrypt", message, "Take the token out of service.").into());
            }
            Ok(Sealed { nonce: nonce.to_vec(), ciphertext })
        })
    }

    fn open(&self, aad: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        self.wrapping.token().run(|linked| {
            let handle = self.handle(linked)?;
            decrypt(linked.session, handle, aad, sealed).map_err(|fault| {
                match self.wrapping.opened_in_vain(linked, fault) {
                    Fault::Verdict(_) => changed().into(),
                    gone => gone,
                }
            })
        })
    }

    fn residence(&self) -> Residence {
        Residence::Resident
    }
}

impl Drop for ResidentDataKey {
    /// The session object would else stay until the process ends. Never within an operation on the token, which this
    /// would wait for.
    fn drop(&mut self) {
        if let Some((generation, handle)) = self.handle.known() {
            self.wrapping.token().forget(generation, handle);
        }
    }
}

impl fmt::Debug for ResidentDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResidentDataKey(under {:?})", self.wrapping)
    }
}

pub(super) fn decrypt(
    session: &Session,
    key: ObjectHandle,
    aad: &[u8],
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let nonce: [u8; NONCE] = sealed.nonce.as_slice().try_into().map_err(|_| changed())?;
    if sealed.ciphertext.len() < TAG {
        return Err(changed().into());
    }
    gcm(nonce, aad, |mechanism| session.decrypt(mechanism, key, &sealed.ciphertext)).map(Zeroizing::new)
}

fn nonce(session: &Session) -> Result<[u8; NONCE], Fault> {
    let mut nonce = [0; NONCE];
    session.generate_random_slice(&mut nonce)?;
    Ok(nonce)
}

/// A data key as a session object. `extractable`: to be wrapped, once.
fn template(linked: &Linked<'_>, extractable: bool) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        // Some tokens take what is not said for a yes.
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ];
    if extractable {
        template.push(Attribute::ValueLen(32.into()));
    }
    if linked.link.profile.restricts_mechanisms() {
        template.push(Attribute::AllowedMechanisms(vec![MechanismType::AES_GCM]));
    }
    template
}

fn changed() -> CustodyError {
    let advice = "The record was changed, moved or damaged since it was written; nothing of it is used.";
    error(ErrorKind::Broken, "open", "a sealed record does not open", advice)
}
