use super::{Attest, Attested, Public, TpmError, TpmSignature};

/// What an attestation key says of another key in its TPM (TPM2_Certify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certification {
    /// TPM2B_PUBLIC of the key that is certified.
    pub public: Vec<u8>,
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// TPMT_SIGNATURE over it.
    pub signature: Vec<u8>,
}

impl Certification {
    /// Verifies that the key is in the TPM of the attestation key, which is a TPM2B_PUBLIC, that it was made there, and
    /// that it cannot leave. Gives the key.
    pub fn verify(&self, ak_public: &[u8], qualifying: &[u8]) -> Result<Public, TpmError> {
        let ak = Public::parse(ak_public)?;
        TpmSignature::parse(&self.signature)?.verify(&ak, &self.message)?;
        let attest = Attest::parse(&self.message)?;
        let Attested::Certify { name, .. } = attest.attested else { return Err(TpmError::Kind("certification")) };
        if attest.qualifying != qualifying {
            return Err(TpmError::Qualifying);
        }
        let public = Public::parse(&self.public)?;
        if public.name != name {
            return Err(TpmError::KeyName);
        }
        if public.attributes.is_fixed() { Ok(public) } else { Err(TpmError::KeyAttributes) }
    }
}
