//! Making a record, over a TPM that says again what it once said.

use std::sync::Arc;

use local_vault::custody::file::FileKey;
use local_vault::custody::{CustodyError, ErrorKind, Purpose, PurposeKey, Quoter, attest, quote};
use local_vault::protocol::attestation::Evidence;
use local_vault::protocol::tpm::Quote;

use super::vectors::{ECC, L1, RSA, signed};

/// Says again what a TPM said to the published package.
#[derive(Debug)]
struct Replay(Quote);

impl Quoter for Replay {
    fn quote(&self, _: &[u8; 32]) -> Result<Quote, CustodyError> {
        Ok(self.0.clone())
    }
}

/// The key that the published package signed with.
fn key(purpose: Purpose) -> PurposeKey {
    PurposeKey::bind(purpose, "edge-07", Arc::new(FileKey::from_seed([0x11; 32]))).unwrap()
}

#[test]
fn what_is_made_of_the_same_facts_is_what_the_published_package_made() {
    for file in [L1, RSA, ECC] {
        let published = signed(file);
        let record = published.record.clone();
        let evidence = match record.holder.quote() {
            Some(said) => {
                let (quoted, evidence) = quote(&Replay(said.clone()), &record.measurement).unwrap();
                assert_eq!(Some(&quoted), record.holder.quote());
                evidence
            }
            None => Evidence::default(),
        };
        assert_eq!(attest(&key(Purpose::Relay), record.measurement, record.holder, evidence), Ok(published));
    }
}

#[test]
fn a_quote_that_does_not_hold_is_seen_before_anything_is_signed() {
    let (rsa, ecc) = (signed(RSA).record, signed(ECC).record);
    let error = quote(&Replay(rsa.holder.quote().unwrap().clone()), &ecc.measurement).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken);
    assert_eq!(error.message, "the TPM's quote does not hold: the message does not carry the measurement digest");
}

#[test]
fn no_key_but_the_relays_signs_a_record() {
    let record = signed(L1).record;
    for purpose in [Purpose::Source, Purpose::Witness, Purpose::Record] {
        let made = attest(&key(purpose), record.measurement.clone(), record.holder.clone(), Evidence::default());
        assert_eq!(made.unwrap_err().kind, ErrorKind::Unsupported);
    }
}
