use super::{
    Attest, Attested, ClockInfo, GoldenError, PcrBanks, PcrSelection, PcrValues, Public, Scheme, TpmError, TpmSignature,
};
use crate::facts::Digest;

/// A quote with what it takes to verify it: what a TPM signed about its PCRs, and the key that signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// TPMT_SIGNATURE over it.
    pub signature: Vec<u8>,
    /// TPM2B_PUBLIC of the attestation key.
    pub ak_public: Vec<u8>,
    /// The key's name, 34 bytes.
    pub ak_name: Vec<u8>,
    /// Which PCRs were asked for.
    pub pcr_selection: PcrSelection,
    /// The digest over their values.
    pub pcr_digest: Digest,
    /// How the key signed.
    pub scheme: Scheme,
}

/// What a quote proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The name of the key that signed. Whose it is, only somebody knows who saw the TPM.
    pub ak_name: Vec<u8>,
    /// Which PCRs.
    pub pcr_selection: PcrSelection,
    /// The digest over their values.
    pub pcr_digest: Digest,
    /// When, by the TPM's own clock and counts.
    pub clock: ClockInfo,
    /// In the maker's own form.
    pub firmware_version: u64,
}

impl Quote {
    /// Puts a quote together from what the TPM gave. What follows from these bytes is read from them; whether it all
    /// holds, [`verify`](Self::verify) says.
    pub fn new(
        message: Vec<u8>,
        signature: Vec<u8>,
        ak_public: Vec<u8>,
        pcr_selection: PcrSelection,
    ) -> Result<Self, TpmError> {
        let (_, _, pcr_digest) = read(&message)?;
        let scheme = TpmSignature::parse(&signature)?.scheme;
        let ak_name = Public::parse(&ak_public)?.name;
        Ok(Self { message, signature, ak_public, ak_name, pcr_selection, pcr_digest, scheme })
    }

    /// Verifies all of it, with `qualifying` as what the TPM was asked to sign with it.
    pub fn verify(&self, qualifying: &[u8]) -> Result<Quoted, TpmError> {
        let ak = Public::parse(&self.ak_public)?;
        if ak.name != self.ak_name {
            return Err(TpmError::AkName);
        }
        let signature = TpmSignature::parse(&self.signature)?;
        if signature.scheme != self.scheme {
            return Err(TpmError::Scheme);
        }
        signature.verify(&ak, &self.message)?;
        // Only now is the message the TPM's own.
        let (attest, selection, pcr_digest) = read(&self.message)?;
        if attest.qualifying != qualifying {
            return Err(TpmError::Qualifying);
        }
        if !self.pcr_selection.is(&selection) {
            return Err(TpmError::PcrSelection);
        }
        if pcr_digest != self.pcr_digest {
            return Err(TpmError::PcrDigest);
        }
        Ok(Quoted {
            ak_name: ak.name,
            pcr_selection: self.pcr_selection.clone(),
            pcr_digest,
            clock: attest.clock,
            firmware_version: attest.firmware_version,
        })
    }
}

impl Quoted {
    /// Whether the PCRs had these values.
    pub fn had(&self, values: &PcrValues) -> Result<bool, GoldenError> {
        Ok(self.pcr_selection.digest(values)? == self.pcr_digest)
    }
}

/// The statement, and what is in it where it is a quote.
fn read(message: &[u8]) -> Result<(Attest, PcrBanks, Digest), TpmError> {
    let mut attest = Attest::parse(message)?;
    let Attested::Quote { selection, digest } = &mut attest.attested else { return Err(TpmError::Kind("quote")) };
    let digest = Digest::try_from(digest.as_slice()).map_err(|_| TpmError::Unsupported("hash of the quote"))?;
    let selection = std::mem::take(selection);
    Ok((attest, selection, digest))
}
