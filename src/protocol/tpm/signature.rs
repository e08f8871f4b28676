use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPssSaltLength,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::public::{KeyBits, Public, pad};
use super::reader::Reader;
use super::{SHA256, TpmError};

/// TPM_ALG_RSASSA.
const RSASSA: u16 = 0x0014;
/// TPM_ALG_RSAPSS.
const RSAPSS: u16 = 0x0016;
/// TPM_ALG_ECDSA.
const ECDSA: u16 = 0x0018;

/// Part 1, B.7: some TPMs take the longest salt that fits, others one as long as the hash. The verifier says which.
static RSA_PSS_LONGEST_SALT: RsaParameters = RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);

/// How an attestation key signs, always over SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// ECDSA over P-256.
    Ecdsa,
    /// RSA with PKCS#1 v1.5 padding.
    Rsassa,
    /// RSA-PSS.
    Rsapss,
}

impl Scheme {
    /// The name as records carry it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa-sha256",
            Self::Rsassa => "rsassa-sha256",
            Self::Rsapss => "rsapss-sha256",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ecdsa, Self::Rsassa, Self::Rsapss].into_iter().find(|scheme| scheme.name() == name)
    }

    pub(super) const fn of(algorithm: u16, hash: u16) -> Option<Self> {
        match (algorithm, hash) {
            (ECDSA, SHA256) => Some(Self::Ecdsa),
            (RSASSA, SHA256) => Some(Self::Rsassa),
            (RSAPSS, SHA256) => Some(Self::Rsapss),
            _ => None,
        }
    }
}

/// TPMT_SIGNATURE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmSignature {
    /// How it was made.
    pub scheme: Scheme,
    /// The RSA signature, or r||s in 64 bytes.
    bytes: Vec<u8>,
}

impl TpmSignature {
    /// Reads a TPMT_SIGNATURE to its last byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, TpmError> {
        let mut reader = Reader::new(bytes);
        let (algorithm, hash) = reader.u16().zip(reader.u16()).ok_or(FORM)?;
        let scheme = Scheme::of(algorithm, hash).ok_or(TpmError::Unsupported("scheme of the signature"))?;
        let bytes = match scheme {
            Scheme::Ecdsa => fixed(&mut reader),
            Scheme::Rsassa | Scheme::Rsapss => reader.sized().map(<[u8]>::to_vec),
        };
        reader.end(bytes).flatten().map(|bytes| Self { scheme, bytes }).ok_or(FORM)
    }

    /// Whether an attestation key made it over `message`: the key's attributes, its scheme, then the signature.
    pub fn verify(&self, ak: &Public, message: &[u8]) -> Result<(), TpmError> {
        if !ak.attributes.is_attestation_key() {
            return Err(TpmError::AkAttributes);
        }
        if ak.scheme != Some(self.scheme) {
            return Err(TpmError::Scheme);
        }
        let verified = match (&ak.key, self.scheme) {
            (KeyBits::P256(point), Scheme::Ecdsa) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &**point).verify(message, &self.bytes)
            }
            (KeyBits::Rsa { n, e }, Scheme::Rsassa) => {
                rsa(n, *e, |key| key.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.bytes))
            }
            (KeyBits::Rsa { n, e }, Scheme::Rsapss) => rsa(n, *e, |key| {
                let usual = key.verify(&RSA_PSS_2048_8192_SHA256, message, &self.bytes);
                usual.or_else(|_| key.verify(&RSA_PSS_LONGEST_SALT, message, &self.bytes))
            }),
            _ => return Err(TpmError::Scheme),
        };
        verified.map_err(|_| TpmError::Signature)
    }
}

const FORM: TpmError = TpmError::Form("signature");

fn rsa<T>(n: &[u8], e: u32, verify: impl FnOnce(&RsaPublicKeyComponents<&[u8]>) -> T) -> T {
    let e = e.to_be_bytes();
    let zeroes = e.iter().take_while(|&&byte| byte == 0).count();
    verify(&RsaPublicKeyComponents { n, e: &e[zeroes..] })
}

/// r||s of fixed size.
fn fixed(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 64];
    pad(&mut bytes[..32], reader.sized()?)?;
    pad(&mut bytes[32..], reader.sized()?)?;
    Some(bytes)
}
