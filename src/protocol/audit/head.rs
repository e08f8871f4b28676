use crate::facts::{Digest, Timestamp};
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Algorithm, Domain, InvalidSignature, Preimage, PublicKey, Signature};

/// How far a log had come: whoever keeps this knows everything up to there to be as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log.
    pub log_id: String,
    /// The number of its last entry then.
    pub seq: u64,
    /// The hash of that entry.
    pub hash: Digest,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The algorithm of the signature, which is bound by it.
    pub alg: Algorithm,
    /// The id of the signing key, bound too.
    pub kid: String,
}

impl Head {
    /// What is signed.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Audit, &self.object())
    }

    fn object(&self) -> Object {
        Object::new()
            .with("log_id", self.log_id.as_str())
            .with("head_seq", self.seq)
            .with("head_hash", self.hash.to_string())
            .with("signed_at", self.signed_at.to_string())
            .with("alg", self.alg.name())
            .with("kid", self.kid.as_str())
    }
}

/// A head with its signature, as it stands in the log and travels to the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// What is signed.
    pub head: Head,
    /// The key that says of itself to have signed it. Whether to believe it is the verifier's own affair.
    pub public_key: PublicKey,
    /// The signature.
    pub signature: Signature,
}

impl SignedHead {
    /// The members, which stand beside others in an entry of the log.
    pub fn to_object(&self) -> Object {
        let object = self.head.object();
        object.with("public_key_hex", self.public_key.to_hex()).with("signature_hex", self.signature.to_hex())
    }

    /// Reads the members; others beside them are not looked at.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let head = Head {
            log_id: member::text(object, "log_id")?,
            seq: member::number(object, "head_seq")?,
            hash: member::digest(object, "head_hash")?,
            signed_at: member::time(object, "signed_at")?,
            alg: member::named(object, "alg", Algorithm::from_name)?,
            kid: member::text(object, "kid")?,
        };
        let public_key = member::named(object, "public_key_hex", |text| PublicKey::from_hex(text).ok())?;
        let signature = member::named(object, "signature_hex", |text| Signature::from_hex(text).ok())?;
        Ok(Self { head, public_key, signature })
    }

    /// Verifies the signature under the key that is named, with that key's algorithm.
    pub fn verify(&self) -> Result<(), InvalidSignature> {
        if self.head.alg != self.public_key.algorithm() {
            return Err(InvalidSignature);
        }
        self.public_key.verify(&self.head.preimage(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    fn signed() -> SignedHead {
        let key = SigningKey::from_bytes(&[7; 32]);
        let head = Head {
            log_id: "log_1".into(),
            seq: 7,
            hash: Digest::of(b"entry"),
            signed_at: Timestamp::from_millis(1_800_000_000_000),
            alg: Algorithm::Ed25519,
            kid: "rec_1".into(),
        };
        let signature = Signature::from_bytes(key.sign(head.preimage().as_bytes()).to_bytes());
        SignedHead { head, public_key: PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap(), signature }
    }

    #[test]
    fn a_head_reads_back_and_verifies() {
        let read = SignedHead::from_object(&signed().to_object().with("seq", 8_i64)).unwrap();
        assert_eq!(read, signed());
        assert_eq!(read.verify(), Ok(()));
    }

    #[test]
    fn every_member_is_bound() {
        let hash = Digest::of(b"other").to_string();
        for (member, value) in [("log_id", "log_2"), ("head_hash", &hash), ("kid", "rec_2"), ("alg", "ES256")] {
            let changed = SignedHead::from_object(&signed().to_object().with(member, value)).unwrap();
            assert_eq!(changed.verify(), Err(InvalidSignature), "{member}");
        }
        let changed = SignedHead::from_object(&signed().to_object().with("head_seq", 8_i64)).unwrap();
        assert_eq!(changed.verify(), Err(InvalidSignature));
    }
}
