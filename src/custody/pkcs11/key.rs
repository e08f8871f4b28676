use std::fmt;
use std::sync::Arc;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{ObjectClass, ObjectHandle};
use sha2::{Digest as _, Sha256};

use super::allowed::KeyUse;
use super::config::KeyName;
use super::fault::Fault;
use super::link::Linked;
use super::object::refuse_unfit;
use super::per_generation::PerGeneration;
use super::token::Token;
use super::{error, object};
use crate::custody::{CustodyError, ErrorKind, Protection, SigningKey};
use crate::facts::random_id;
use crate::protocol::json::Object;
use crate::protocol::{Algorithm, Domain, Preimage, PublicKey, Signature};

/// A private key in a token, known by its public half.
pub struct TokenKey {
    token: Arc<Token>,
    name: KeyName,
    public: PublicKey,
    /// The handle in this generation of the module, once the key was found fit in it.
    fit: PerGeneration<ObjectHandle>,
}

impl TokenKey {
    /// The key of this name, whose public half must be this one. Touches no token: the key is looked for and checked
    /// when it first signs, and again when the token was away.
    pub fn new(token: Arc<Token>, name: KeyName, public: PublicKey) -> Self {
        Self { token, name, public, fit: PerGeneration::default() }
    }

    /// The key of this name, with the public half that the token shows. Blocks.
    ///
    /// For the published settings, which name a label alone: nothing but the token itself says that this is the key
    /// that is meant.
    pub fn find(token: Arc<Token>, name: KeyName) -> Result<Self, CustodyError> {
        let public = token.run(|linked| object::public_key(linked.session, &name))?;
        let public = public.ok_or_else(|| {
            let message = format!("the token shows no public half of the {name}");
            let advice = "Name its public_key in the config file, or make the key: local-vault custody generate";
            error(ErrorKind::NotFound, "find", message, advice)
        })?;
        Ok(Self::new(token, name, public))
    }

    /// The key's handle, once for each generation after every check: one key of that name, fit for nothing but
    /// signing, with the public half that is expected, and proved by two signatures over different messages.
    pub(super) fn handle(&self, linked: &Linked<'_>) -> Result<ObjectHandle, Fault> {
        self.fit.get(linked.generation, || {
            let handle = object::find(linked, ObjectClass::PRIVATE_KEY, &self.name)?;
            let attributes = object::attributes(linked.session, handle)?;
            let restricts = linked.link.profile.restricts_mechanisms();
            refuse_unfit(&self.name, &attributes.unfit(KeyUse::Sign(self.algorithm()), restricts))?;
            self.compare(linked)?;
            self.prove(linked, handle)?;
            Ok(handle)
        })
    }

    /// The public half that the token shows, where it shows one, says more than a signature that does not verify.
    fn compare(&self, linked: &Linked<'_>) -> Result<(), Fault> {
        match object::public_key(linked.session, &self.name)? {
            Some(shown) if shown != self.public => {
                let (name, shown) = (&self.name, shown.to_hex());
                let message = format!("the {name} has the public key {shown}, and another one is expected");
                let advice = format!("Expected is {}. Is this the token that was enrolled?", self.public.to_hex());
                Err(error(ErrorKind::Misconfigured, "find", message, advice).into())
            }
            _ => Ok(()),
        }
    }

    /// Some tokens sign once and fail the second time; some sign something else.
    fn prove(&self, linked: &Linked<'_>, handle: ObjectHandle) -> Result<(), Fault> {
        for _ in 0..2 {
            let message = Preimage::new(Domain::SelfTest, &Object::new().with("nonce", random_id("")));
            let signature = self.sign_bytes(linked, handle, message.as_bytes())?;
            self.public.verify(&message, &signature).map_err(|_| {
                let message = format!("the {} does not sign as its public key says", self.name);
                let advice = "Nothing was signed with it. Check public_key, and that the token is the one enrolled.";
                error(ErrorKind::Broken, "self-test", message, advice)
            })?;
        }
        Ok(())
    }

    pub(super) fn sign_bytes(
        &self,
        linked: &Linked<'_>,
        handle: ObjectHandle,
        message: &[u8],
    ) -> Result<Signature, Fault> {
        let bytes = match self.algorithm() {
            Algorithm::Ed25519 => {
                let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
                linked.session.sign(&mechanism, handle, message)?
            }
            Algorithm::Es256 => linked.session.sign(&Mechanism::Ecdsa, handle, &Sha256::digest(message))?,
        };
        signature(self.algorithm(), &bytes).ok_or_else(|| {
            let message = format!("the {} gave {} bytes that are no signature", self.name, bytes.len());
            error(ErrorKind::Broken, "C_Sign", message, "Take the token out of service.").into()
        })
    }
}

impl SigningKey for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    /// Looks for the key and checks that it is fit, where that was not done yet.
    fn check(&self) -> Result<(), CustodyError> {
        self.token.run(|linked| self.handle(linked).map(drop))
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        // Done again where the token was away: two signatures over the same bytes harm nobody.
        self.token.run(|linked| {
            let handle = self.handle(linked)?;
            self.sign_bytes(linked, handle, preimage.as_bytes())
        })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?})", self.public)
    }
}

/// R||S as the token gave it, or r||s with a low s.
fn signature(algorithm: Algorithm, bytes: &[u8]) -> Option<Signature> {
    match algorithm {
        Algorithm::Ed25519 => Some(Signature::from_bytes(bytes.try_into().ok()?)),
        Algorithm::Es256 => {
            let signature = p256::ecdsa::Signature::from_slice(bytes).ok()?;
            Some(Signature::from_bytes(signature.normalize_s().to_bytes().into()))
        }
    }
}
