use std::fmt;

use super::{CustodyError, ErrorKind, PurposeKey};
use crate::protocol::attestation::{CertifiedKey, Evidence, Holder, Measurement, Record, SignedRecord};
use crate::protocol::tpm::{Quote, TpmError};

/// A TPM that says what it measured. Blocking.
pub trait Quoter: Send + Sync + fmt::Debug {
    /// A quote of the configured PCRs, with `qualifying` signed into it.
    fn quote(&self, qualifying: &[u8; 32]) -> Result<Quote, CustodyError>;

    /// The maker's certificate of the TPM's endorsement key (X.509 DER), where there is one.
    fn ek_certificate(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        Ok(None)
    }

    /// Keys of ours in this TPM, certified by the key that quotes, with `qualifying` signed into it.
    fn certified_keys(&self, _qualifying: &[u8; 32]) -> Result<Vec<CertifiedKey>, CustodyError> {
        Ok(Vec::new())
    }
}

/// Lets a TPM speak about a measurement, and verifies what it said as anybody else would. Blocks.
pub fn quote(quoter: &dyn Quoter, measurement: &Measurement) -> Result<(Quote, Evidence), CustodyError> {
    let digest = measurement.digest();
    let quote = quoter.quote(digest.as_bytes())?;
    quote.verify(digest.as_bytes()).map_err(|e| does_not_hold("quote", e))?;
    let certified_keys = quoter.certified_keys(digest.as_bytes())?;
    for key in &certified_keys {
        key.verify(&quote.ak_public, digest.as_bytes()).map_err(|e| does_not_hold("certification", e))?;
    }
    Ok((quote, Evidence { ek_certificate: quoter.ek_certificate()?, certified_keys }))
}

/// Signs a record with the relay key, which is held so, and verifies all of it before anybody sees it. Blocks.
pub fn attest(
    key: &PurposeKey,
    measurement: Measurement,
    holder: Holder,
    evidence: Evidence,
) -> Result<SignedRecord, CustodyError> {
    let record = Record { measurement, holder };
    let signature = key.sign(&record.preimage())?;
    let signed = SignedRecord { record, signature, evidence };
    signed.verify(key.public_key()).map_err(|e| {
        let advice = "Nothing was published. This is a defect in local-vault; please report it.";
        CustodyError::new(ErrorKind::Broken, "custody", "attest", format!("the record does not verify: {e}"), advice)
    })?;
    Ok(signed)
}

fn does_not_hold(what: &str, error: TpmError) -> CustodyError {
    let message = format!("the TPM's {what} does not hold: {error}");
    let advice = "Nothing was published. Check the TPM and its attestation key: local-vault attestation self-test";
    CustodyError::new(ErrorKind::Broken, "custody", "quote", message, advice)
}
