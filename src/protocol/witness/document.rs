use super::{WitnessError, signature_of, with_key};
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Domain, Preimage, PublicKey, Signature};

/// What is signed of a document in which a witness says something of itself. Its member `kind` tells what.
pub fn document_preimage(document: &Object) -> Preimage {
    Preimage::new(Domain::WitnessState, document)
}

/// The signed form of a document that `key`, whose id is `kid`, signed.
pub fn signed_document(document: &Object, kid: &str, key: &PublicKey, signature: &Signature) -> Object {
    let hash = document_preimage(document).hash().to_string();
    with_key(Object::new().with("document", document.clone()).with("document_hash", hash), kid, key, signature)
}

/// Verifies the signed form with `key` alone, and gives the document. It must be of that kind.
pub fn verify_document(object: &Object, kind: &str, key: &PublicKey) -> Result<Object, WitnessError> {
    let document = member::object(object, "document")?.clone();
    if document.get_str("kind") != Some(kind) {
        return Err(MemberError::new("document.kind").into());
    }
    let kid = member::text(member::object(object, "signature")?, "kid")?;
    let signature = signature_of(object)?;
    member::same(&signed_document(&document, &kid, key, &signature), object)?;
    key.verify(&document_preimage(&document), &signature)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn signed(document: &Object) -> (Object, PublicKey) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let signature = Signature::from_bytes(key.sign(document_preimage(document).as_bytes()).to_bytes());
        (signed_document(document, "kid_1", &public, &signature), public)
    }

    #[test]
    fn a_document_verifies_as_what_it_is_and_as_nothing_else() {
        let document = Object::new().with("kind", "floor").with("count", 4_u32);
        let (object, key) = signed(&document);
        assert_eq!(verify_document(&object, "floor", &key), Ok(document));
        let error = verify_document(&object, "identity", &key);
        assert_eq!(error, Err(MemberError::new("document.kind").into()));
    }

    #[test]
    fn a_changed_document_does_not_verify() {
        let (object, key) = signed(&Object::new().with("kind", "floor").with("count", 4_u32));
        let signature = signature_of(&object).unwrap();
        let forged =
            signed_document(&Object::new().with("kind", "floor").with("count", 3_u32), "kid_1", &key, &signature);
        assert!(matches!(verify_document(&forged, "floor", &key), Err(WitnessError::Signature(_))));
    }
}
