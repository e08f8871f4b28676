use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use ed25519_dalek::VerifyingKey;

use super::Preimage;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// PureEdDSA over Curve25519 (RFC 8032); signatures are R||S.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5); signatures are r||s of fixed size with a low s.
    Es256,
}

impl Algorithm {
    /// The name as source attestations carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ed25519, Self::Es256].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A public key that was checked to be one.
///
/// As hex: an Ed25519 key is its 32 bytes, a P-256 key its 65 bytes of uncompressed SEC1.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// An Ed25519 key.
    Ed25519(Box<VerifyingKey>),
    /// A P-256 key.
    Es256(Box<p256::ecdsa::VerifyingKey>),
}

impl PublicKey {
    /// An Ed25519 key from its 32 bytes. Keys of small order are refused: anything verifies under them.
    pub fn ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError)?;
        if key.is_weak() { Err(KeyError) } else { Ok(Self::Ed25519(Box::new(key))) }
    }

    /// A P-256 key from SEC1 bytes, compressed or not.
    pub fn es256(sec1: &[u8]) -> Result<Self, KeyError> {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(sec1).map_err(|_| KeyError)?;
        Ok(Self::Es256(Box::new(key)))
    }

    /// Reads the hex form; the length tells the algorithm.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode(text).map_err(|_| KeyError)?;
        match <&[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(raw) => Self::ed25519(raw),
            Err(_) => Self::es256(&bytes),
        }
    }

    /// The bytes of the hex form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.as_bytes().to_vec(),
            Self::Es256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// The hex form, lower case.
    pub fn to_hex(&self) -> String {
        hex::encode(self.to_bytes())
    }

    /// Which algorithm the key is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Es256(_) => Algorithm::Es256,
        }
    }

    /// Verifies strictly: no key of small order, no second encoding of the same signature, low s only, and
    /// Ed25519 alone where a contract fixes it for the domain.
    pub fn verify(&self, preimage: &Preimage, signature: &Signature) -> Result<(), InvalidSignature> {
        if preimage.domain().is_ed25519_only() && self.algorithm() != Algorithm::Ed25519 {
            return Err(InvalidSignature);
        }
        self.verify_bytes(preimage.as_bytes(), signature)
    }

    fn verify_bytes(&self, message: &[u8], signature: &Signature) -> Result<(), InvalidSignature> {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
                key.verify_strict(message, &signature).map_err(|_| InvalidSignature)
            }
            Self::Es256(key) => {
                let signature =
                    p256::ecdsa::Signature::from_slice(signature.as_bytes()).map_err(|_| InvalidSignature)?;
                if signature.normalize_s() != signature {
                    return Err(InvalidSignature);
                }
                // Three times as fast as the crate that holds the key (decision 0008).
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.to_sec1_point(false));
                key.verify(message, &signature.to_bytes()).map_err(|_| InvalidSignature)
            }
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm().name(), self.to_hex())
    }
}

/// The 64 bytes of a signature, R||S or r||s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its 64 bytes, which may still verify nothing.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Reads 128 hex digits of either case.
    pub fn from_hex(text: &str) -> Result<Self, InvalidSignature> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidSignature)?;
        Ok(Self(bytes))
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// 128 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Bytes that are no public key of a known algorithm, or one under which anything verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key (64 hex digits for Ed25519, 130 for P-256)")]
pub struct KeyError;

/// The signature does not verify under this key for these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct InvalidSignature;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Domain;
    use crate::protocol::json::{self, Object};

    fn verify(key: &str, message: &str, signature: &str) -> Result<(), InvalidSignature> {
        let message = hex::decode(message).unwrap();
        PublicKey::from_hex(key).unwrap().verify_bytes(&message, &Signature::from_hex(signature).unwrap())
    }

    mod rfc_8032_section_7_1 {
        use super::*;

        #[test]
        fn test_1() {
            let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
            let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f\
                             b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
            assert_eq!(verify(key, "", signature), Ok(()));
        }

        #[test]
        fn test_2() {
            let key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
            let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da08\
                             5ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
            assert_eq!(verify(key, "72", signature), Ok(()));
        }

        #[test]
        fn test_3() {
            let key = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
            let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18\
                             ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
            assert_eq!(verify(key, "af82", signature), Ok(()));
        }

        #[test]
        fn test_1024() {
            let key = "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e";
            let message = include_str!("../../tests/vectors/rfc8032-1024.hex").trim_end();
            let signature = "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa\
                             5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03";
            assert_eq!(verify(key, message, signature), Ok(()));
        }

        #[test]
        fn test_sha_abc() {
            let key = "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf";
            let message = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
            let signature = "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909\
                             351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704";
            assert_eq!(verify(key, message, signature), Ok(()));
        }
    }

    #[test]
    fn every_wycheproof_signature_is_taken_or_refused_as_it_should_be() {
        let rows = include_str!("../../tests/vectors/wycheproof-ed25519.jsonl").lines();
        let rows: Vec<Object> = rows.map(|row| json::parse(row.as_bytes()).unwrap()).collect();
        assert_eq!(rows.len(), 151);
        for row in rows {
            let field = |name| row.get_str(name).unwrap();
            let key = PublicKey::from_hex(field("public_key")).unwrap();
            let message = hex::decode(field("msg")).unwrap();
            let verdict = Signature::from_hex(field("sig")).and_then(|s| key.verify_bytes(&message, &s));
            assert_eq!(verdict.is_ok(), field("result") == "valid", "{:?}", row.get("tcId"));
        }
    }

    mod rfc_6979_appendix_a_2_5 {
        use super::*;

        const KEY: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                           7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

        #[test]
        fn a_low_s_verifies() {
            let signature = "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
                             019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083";
            assert_eq!(verify(KEY, &hex::encode("test"), signature), Ok(()));
        }

        #[test]
        fn a_high_s_is_refused() {
            let signature = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
            assert_eq!(verify(KEY, &hex::encode("sample"), signature), Err(InvalidSignature));
            // The same signature with s taken from the order of the curve.
            let low = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                       0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9";
            assert_eq!(verify(KEY, &hex::encode("sample"), low), Ok(()));
        }
    }

    #[test]
    fn a_second_encoding_of_an_ed25519_signature_is_refused() {
        // Test 2 of RFC 8032 with the order of the group added to s.
        let key = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10";
        assert_eq!(verify(key, "72", signature), Err(InvalidSignature));
    }

    #[test]
    fn a_key_under_which_anything_verifies_is_refused() {
        let identity = format!("01{}", "00".repeat(31));
        assert_eq!(PublicKey::from_hex(&identity), Err(KeyError));
        assert_eq!(PublicKey::ed25519(&[0; 32]), Err(KeyError));
    }

    #[test]
    fn bytes_of_another_length_are_no_key_and_no_signature() {
        assert_eq!(PublicKey::from_hex(&"00".repeat(31)), Err(KeyError));
        assert_eq!(Signature::from_hex(&"00".repeat(63)), Err(InvalidSignature));
    }

    #[test]
    fn a_contracts_domain_takes_no_p256_signature() {
        use p256::ecdsa::signature::Signer as _;

        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let public = PublicKey::Es256(Box::new(*key.verifying_key()));
        let outcome = |domain| {
            let preimage = Preimage::new(domain, &Object::new());
            let signature: p256::ecdsa::Signature = key.sign(preimage.as_bytes());
            let signature = Signature::from_bytes(signature.normalize_s().to_bytes().into());
            public.verify(&preimage, &signature)
        };
        assert_eq!(outcome(Domain::Source), Ok(()));
        assert_eq!(outcome(Domain::Relay), Err(InvalidSignature));
    }
}
