use super::reader::Reader;
use super::signature::Scheme;
use super::{NULL, SHA256, TpmError};
use crate::facts::Digest;

/// TPM_ALG_RSA.
const RSA: u16 = 0x0001;
/// TPM_ALG_ECC.
const ECC: u16 = 0x0023;
/// TPM_ECC_NIST_P256.
const P256: u16 = 0x0003;
/// TPM_ALG_RSAES, the one scheme without a hash.
const RSAES: u16 = 0x0015;
/// TPM_ALG_ECDAA, the one scheme with a count behind its hash.
const ECDAA: u16 = 0x001A;
/// What an RSA key means by an exponent of zero.
const USUAL_EXPONENT: u32 = 65_537;

/// TPMT_PUBLIC: the public area of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// What the TPM does with it.
    pub attributes: Attributes,
    /// The one scheme that it signs by; `None` where the caller chooses, or it is none that is known here.
    pub scheme: Option<Scheme>,
    /// The key itself.
    pub key: KeyBits,
    /// The hash of the area behind the number of that hash: what the TPM knows the key by.
    pub name: Vec<u8>,
}

/// TPMA_OBJECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(u32);

/// The part of a public area that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBits {
    /// A point on P-256 as 65 bytes of uncompressed SEC1. Whether it is on the curve is still to be seen.
    P256(Box<[u8; 65]>),
    /// An RSA key, big-endian.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: u32,
    },
}

impl Public {
    /// Reads a TPM2B_PUBLIC to its last byte: the area behind its length, as `tpm2_readpublic -o` writes it.
    pub fn parse(bytes: &[u8]) -> Result<Self, TpmError> {
        let mut reader = Reader::new(bytes);
        let area = reader.sized().and_then(|area| reader.end(area)).ok_or(FORM)?;
        let mut reader = Reader::new(area);
        let kind = reader.u16().ok_or(FORM)?;
        if reader.u16().ok_or(FORM)? != SHA256 {
            return Err(TpmError::Unsupported("hash of the key's name"));
        }
        let attributes = Attributes(reader.u32().ok_or(FORM)?);
        reader.sized().ok_or(FORM)?;
        let (scheme, key) = match kind {
            ECC => ecc(reader)?,
            RSA => rsa(reader).ok_or(FORM)?,
            _ => return Err(TpmError::Unsupported("kind of key")),
        };
        let name = [SHA256.to_be_bytes().as_slice(), Digest::of(area).as_bytes()].concat();
        Ok(Self { attributes, scheme, key, name })
    }
}

const FORM: TpmError = TpmError::Form("public area");

impl Attributes {
    /// It signs what the TPM itself has made and nothing else that looks like it, and never leaves the TPM that made it.
    pub const fn is_attestation_key(self) -> bool {
        let (restricted, decrypt, sign) = (1 << 16, 1 << 17, 1 << 18);
        self.is_fixed() && self.0 & (restricted | decrypt | sign) == restricted | sign
    }

    /// The TPM made it, and it never leaves.
    pub const fn is_fixed(self) -> bool {
        let (fixed_tpm, fixed_parent, sensitive_data_origin) = (1 << 1, 1 << 4, 1 << 5);
        let all = fixed_tpm | fixed_parent | sensitive_data_origin;
        self.0 & all == all
    }
}

fn rsa(mut reader: Reader<'_>) -> Option<(Option<Scheme>, KeyBits)> {
    symmetric(&mut reader)?;
    let scheme = scheme(&mut reader)?;
    let (_bits, e) = (reader.u16()?, reader.u32()?);
    let n = reader.sized()?.to_vec();
    let e = if e == 0 { USUAL_EXPONENT } else { e };
    reader.end((scheme, KeyBits::Rsa { n, e }))
}

fn ecc(mut reader: Reader<'_>) -> Result<(Option<Scheme>, KeyBits), TpmError> {
    let (scheme, curve) = ecc_parameters(&mut reader).ok_or(FORM)?;
    if curve != P256 {
        return Err(TpmError::Unsupported("curve of the key"));
    }
    let (x, y) = reader.sized().zip(reader.sized()).ok_or(FORM)?;
    let mut point = [0; 65];
    point[0] = 4;
    pad(&mut point[1..33], x).and_then(|()| pad(&mut point[33..], y)).ok_or(FORM)?;
    reader.end((scheme, KeyBits::P256(Box::new(point)))).ok_or(FORM)
}

fn ecc_parameters(reader: &mut Reader<'_>) -> Option<(Option<Scheme>, u16)> {
    symmetric(reader)?;
    let (scheme, curve) = (scheme(reader)?, reader.u16()?);
    let kdf = reader.u16()?;
    if kdf != NULL {
        reader.u16()?;
    }
    Some((scheme, curve))
}

/// TPMT_SYM_DEF_OBJECT, which only a key has that others are stored under.
fn symmetric(reader: &mut Reader<'_>) -> Option<()> {
    if reader.u16()? != NULL {
        reader.take(4)?;
    }
    Some(())
}

/// TPMT_RSA_SCHEME or TPMT_ECC_SCHEME.
fn scheme(reader: &mut Reader<'_>) -> Option<Option<Scheme>> {
    let scheme = reader.u16()?;
    if matches!(scheme, NULL | RSAES) {
        return Some(None);
    }
    let hash = reader.u16()?;
    if scheme == ECDAA {
        reader.u16()?;
    }
    Some(Scheme::of(scheme, hash))
}

/// Writes a number of at most this many bytes behind the zeroes that it lacks.
pub(super) fn pad(to: &mut [u8], number: &[u8]) -> Option<()> {
    let at = to.len().checked_sub(number.len())?;
    to[at..].copy_from_slice(number);
    Some(())
}
