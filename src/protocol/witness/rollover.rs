use super::{WitnessError, document_preimage, signature_of, signed_document, verify_document};
use crate::facts::Timestamp;
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};

/// The word of a witness that another key signs from now on. The old key signs it, so that whoever trusts that one may
/// trust the next; and the new one, so that nobody takes a stranger's key for theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollover {
    /// Who witnesses.
    pub witness_id: String,
    /// The key that signed until now.
    pub old: KeyName,
    /// The key that signs from now on.
    pub new: KeyName,
    /// When.
    pub at: Timestamp,
}

/// A key and the name under which verifiers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    /// The name.
    pub kid: String,
    /// The public half.
    pub public_key: PublicKey,
}

const KIND: &str = "rollover";
const NEW_SIGNATURE: &str = "new_signature";

impl Rollover {
    /// What both keys sign, as a document of the witness.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("kind", KIND)
            .with("witness_id", self.witness_id.as_str())
            .with("old", self.old.to_object())
            .with("new", self.new.to_object())
            .with("at", self.at.to_string())
    }

    /// The signed form: the document as the old key signed it, and the new key's signature beside it.
    pub fn sealed(by_old: Object, by_new: &Object) -> Object {
        by_old.with(NEW_SIGNATURE, by_new.get("signature").cloned())
    }

    /// Whether an object says that it is one.
    pub fn is_one(object: &Object) -> bool {
        object.get_object("document").and_then(|document| document.get_str("kind")) == Some(KIND)
    }

    /// Verifies the signed form with the old key alone. Whoever trusts that one may trust [`new`](Self::new) then.
    pub fn verify(object: &Object, old: &PublicKey) -> Result<Self, WitnessError> {
        let by_new = Object::new().with("signature", member::object(object, NEW_SIGNATURE)?.clone());
        let mut by_old = object.clone();
        by_old.remove(NEW_SIGNATURE);
        let document = verify_document(&by_old, KIND, old)?;
        let rollover = Self::from_object(&document)?;
        let KeyName { kid, public_key } = &rollover.old;
        member::same(&signed_document(&document, kid, public_key, &signature_of(&by_old)?), &by_old)?;
        let KeyName { kid, public_key } = &rollover.new;
        let signature = signature_of(&by_new).map_err(|_| MemberError::new(NEW_SIGNATURE))?;
        let signed = signed_document(&document, kid, public_key, &signature);
        member::same(&Self::sealed(by_old, &signed), object)?;
        public_key.verify(&document_preimage(&document), &signature)?;
        Ok(rollover)
    }

    fn from_object(object: &Object) -> Result<Self, MemberError> {
        let rollover = Self {
            witness_id: member::text(object, "witness_id")?,
            old: member::within("old", object, KeyName::from_object)?,
            new: member::within("new", object, KeyName::from_object)?,
            at: member::time(object, "at")?,
        };
        member::same(&rollover.to_object(), object)?;
        Ok(rollover)
    }
}

impl KeyName {
    fn to_object(&self) -> Object {
        Object::new().with("kid", self.kid.as_str()).with("public_key_hex", self.public_key.to_hex())
    }

    fn from_object(object: &Object) -> Result<Self, MemberError> {
        Ok(Self {
            kid: member::text(object, "kid")?,
            public_key: member::named(object, "public_key_hex", |text| PublicKey::from_hex(text).ok())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::protocol::{InvalidSignature, Signature};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn name(seed: u8) -> KeyName {
        let public_key = PublicKey::ed25519(key(seed).verifying_key().as_bytes()).unwrap();
        KeyName { kid: format!("kid_{seed}"), public_key }
    }

    fn rollover() -> Rollover {
        let at = Timestamp::from_millis(1_800_000_000_000);
        Rollover { witness_id: "ins_1".into(), old: name(1), new: name(2), at }
    }

    fn signed(seed: u8, document: &Object) -> Object {
        let signature = Signature::from_bytes(key(seed).sign(document_preimage(document).as_bytes()).to_bytes());
        signed_document(document, &name(seed).kid, &name(seed).public_key, &signature)
    }

    fn sealed(rollover: &Rollover, old: u8, new: u8) -> Object {
        let document = rollover.to_object();
        Rollover::sealed(signed(old, &document), &signed(new, &document))
    }

    #[test]
    fn it_verifies_with_the_old_key_alone() {
        let object = sealed(&rollover(), 1, 2);
        assert!(Rollover::is_one(&object));
        assert_eq!(Rollover::verify(&object, &name(1).public_key), Ok(rollover()));
        assert!(Rollover::verify(&object, &name(2).public_key).is_err());
    }

    #[test]
    fn a_key_that_did_not_sign_for_itself_is_not_taken_over() {
        let object = sealed(&rollover(), 1, 2);
        let by_other = signed(3, &rollover().to_object());
        let forged = by_other.get_object("signature").unwrap().clone().with("kid", "kid_2").with("key_epoch", "kid_2");
        let forged = object.with("new_signature", forged);
        assert_eq!(Rollover::verify(&forged, &name(1).public_key), Err(InvalidSignature.into()));
    }

    #[test]
    fn another_old_key_than_the_one_that_signed_is_refused() {
        let other = Rollover { old: name(3), ..rollover() };
        let error = Rollover::verify(&sealed(&other, 1, 2), &name(1).public_key);
        assert!(matches!(error, Err(WitnessError::Form(_))), "{error:?}");
    }

    #[test]
    fn without_the_new_keys_signature_and_with_a_member_more_it_is_none() {
        let object = sealed(&rollover(), 1, 2);
        let mut bare = object.clone();
        bare.remove("new_signature");
        let error = Rollover::verify(&bare, &name(1).public_key);
        assert_eq!(error, Err(MemberError::new("new_signature").into()));
        let more = object.with("surprise", 1_u32);
        assert_eq!(Rollover::verify(&more, &name(1).public_key), Err(MemberError::new("surprise").into()));
    }
}
