//! Quotes and certifications of a swtpm, and what is done to them.

use local_vault::facts::Digest;
use local_vault::protocol::PublicKey;
use local_vault::protocol::attestation::{Assurance, AttestationError, CertifiedKey, Evidence, SignedRecord};
use local_vault::protocol::json;
use local_vault::protocol::tpm::{
    Attest, Certification, GoldenError, PcrSelection, Public, Quote, Scheme, TpmError, TpmSignature,
};
use proptest::prelude::{any, prop, proptest};

use super::vectors::{ECC, RSA, bytes, certified, quotes, signed, values};

#[test]
fn a_quote_of_either_kind_of_key_and_padding_verifies() {
    let schemes = quotes().map(|(quote, qualifying)| {
        let quoted = quote.verify(&qualifying).unwrap();
        assert_eq!((quoted.clock.reset_count, quoted.clock.safe), (1, true));
        assert_eq!(quoted.ak_name, quote.ak_name);
        quote.scheme
    });
    assert_eq!(schemes, [Scheme::Rsassa, Scheme::Ecdsa, Scheme::Rsapss]);
}

#[test]
fn a_quote_put_together_from_what_the_tpm_gave_is_the_one_of_the_published_package() {
    for (quote, _) in quotes() {
        let Quote { message, signature, ak_public, pcr_selection, .. } = quote.clone();
        assert_eq!(Quote::new(message, signature, ak_public, pcr_selection), Ok(quote));
    }
}

#[test]
fn every_changed_byte_of_a_quote_is_refused() {
    for (quote, qualifying) in quotes() {
        type Part = fn(&mut Quote) -> &mut Vec<u8>;
        let parts: [Part; 4] = [|q| &mut q.message, |q| &mut q.signature, |q| &mut q.ak_public, |q| &mut q.ak_name];
        for part in parts {
            let length = part(&mut quote.clone()).len();
            for at in 0..length {
                let mut changed = quote.clone();
                part(&mut changed)[at] ^= 0x01;
                assert!(changed.verify(&qualifying).is_err(), "byte {at} of {length}");
            }
            let mut longer = quote.clone();
            part(&mut longer).push(0);
            assert!(longer.verify(&qualifying).is_err());
            let mut shorter = quote.clone();
            part(&mut shorter).pop();
            assert!(shorter.verify(&qualifying).is_err());
        }
    }
}

#[test]
fn what_the_record_says_beside_the_quote_must_be_what_was_quoted() {
    let [(quote, qualifying), (other, _), _] = quotes();
    let refused = |change: &dyn Fn(&mut Quote)| {
        let mut changed = quote.clone();
        change(&mut changed);
        changed.verify(&qualifying).unwrap_err()
    };
    let selection: PcrSelection = "sha256:0,1,2,3".parse().unwrap();
    assert_eq!(refused(&|quote| quote.pcr_selection = selection.clone()), TpmError::PcrSelection);
    assert_eq!(refused(&|quote| quote.pcr_digest = Digest::of(b"other")), TpmError::PcrDigest);
    assert_eq!(refused(&|quote| quote.scheme = Scheme::Rsapss), TpmError::Scheme);
    assert_eq!(refused(&|quote| quote.ak_name.clone_from(&other.ak_name)), TpmError::AkName);
    assert_eq!(quote.verify(&qualifying[..31]), Err(TpmError::Qualifying));
    let all_of_another = |quote: &mut Quote| {
        (quote.ak_public, quote.ak_name) = (other.ak_public.clone(), other.ak_name.clone());
    };
    assert_eq!(refused(&all_of_another), TpmError::Scheme);
}

#[test]
fn golden_values_are_right_wrong_or_not_enough() {
    let [(quote, qualifying), ..] = quotes();
    let quoted = quote.verify(&qualifying).unwrap();
    assert_eq!(quoted.had(&values()), Ok(true));
    let mut other = values();
    other.insert(7, other[&1]);
    assert_eq!(quoted.had(&other), Ok(false));
    other.remove(&7);
    assert_eq!(quoted.had(&other), Err(GoldenError::Missing(7)));
    let mut more = values();
    more.insert(11, more[&1]);
    assert_eq!(quoted.had(&more), Err(GoldenError::NotSelected(11)));
}

/// Offsets into TPM2B_PUBLIC: its length, the kind of key, the hash of its name, then the attributes.
const ATTRIBUTES: usize = 6;

#[test]
fn a_key_that_signs_anything_else_too_is_no_attestation_key() {
    for (quote, qualifying) in quotes() {
        for (byte, bit) in [(1, 0x01), (1, 0x02), (1, 0x04), (3, 0x02), (3, 0x10), (3, 0x20)] {
            let mut changed = quote.clone();
            changed.ak_public[ATTRIBUTES + byte] ^= bit;
            changed.ak_name = Public::parse(&changed.ak_public).unwrap().name;
            assert_eq!(changed.verify(&qualifying), Err(TpmError::AkAttributes));
        }
    }
}

#[test]
fn a_certified_key_is_that_very_key_and_fixed_to_its_tpm() {
    let vector = certified();
    let [ak, public, message, signature] =
        ["ak_public", "public", "message", "signature"].map(|name| bytes(&vector, name));
    let qualifying = bytes(&vector, "qualifying");
    let certification = Certification { public: public.clone(), message, signature };
    let verified = certification.verify(&ak, &qualifying).unwrap();
    assert!(!verified.attributes.is_attestation_key());
    assert_eq!(certification.verify(&ak, b"other"), Err(TpmError::Qualifying));
    assert_eq!(certification.verify(&public, &qualifying), Err(TpmError::AkAttributes));
    let other = Certification { public: ak.clone(), ..certification.clone() };
    assert_eq!(other.verify(&ak, &qualifying), Err(TpmError::KeyName));

    let mut point = vec![4];
    point.extend(&public[24..56]);
    point.extend(&public[58..90]);
    let key = CertifiedKey { purpose: "source".into(), public_key: PublicKey::es256(&point).unwrap(), certification };
    assert_eq!(key.verify(&ak, &qualifying), Ok(()));
    let other = CertifiedKey { public_key: super::vectors::key(), ..key };
    assert_eq!(other.verify(&ak, &qualifying), Err(TpmError::KeyName));
}

#[test]
fn a_quote_is_no_certification_and_a_certification_no_quote() {
    let [_, (quote, qualifying), _] = quotes();
    let (message, signature) = (quote.message.clone(), quote.signature.clone());
    let certification = Certification { public: quote.ak_public.clone(), message, signature };
    assert_eq!(certification.verify(&quote.ak_public, &qualifying), Err(TpmError::Kind("certification")));
    let vector = certified();
    let [message, signature, ak] = ["message", "signature", "ak_public"].map(|name| bytes(&vector, name));
    assert_eq!(Quote::new(message, signature, ak, quote.pcr_selection), Err(TpmError::Kind("quote")));
}

#[test]
fn evidence_stays_in_the_file_and_is_verified_there() {
    let vector = certified();
    let [public, message, signature] = ["public", "message", "signature"].map(|name| bytes(&vector, name));
    let certified = CertifiedKey {
        purpose: "source".into(),
        public_key: super::vectors::key(),
        certification: Certification { public, message, signature },
    };
    let evidence = Evidence { ek_certificate: Some(vec![0x30]), certified_keys: vec![certified] };
    let mut read = SignedRecord { evidence, ..signed(ECC) };
    let file = json::parse(&read.to_file().to_canonical()).unwrap();
    assert_eq!(SignedRecord::from_object(&file).as_ref(), Ok(&read));
    assert_eq!(file.get_object("evidence").unwrap().len(), 2);
    assert_eq!(read.to_posted().len(), 2);
    // The certification is over something else than this measurement.
    let key = super::vectors::key();
    let error = TpmError::Qualifying;
    assert_eq!(read.verify(&key), Err(AttestationError::Certified { purpose: "source".into(), error }));
    read.record = signed(RSA).record;
    assert!(read.verify(&key).is_err());
    read =
        SignedRecord { evidence: Evidence { ek_certificate: Some(vec![0x30]), ..Evidence::default() }, ..signed(ECC) };
    assert_eq!(read.verify(&key).unwrap().assurance, Assurance::L2);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>()) {
        let _ = (Attest::parse(&bytes), Public::parse(&bytes), TpmSignature::parse(&bytes));
        // Bytes that begin well get further.
        for (quote, qualifying) in quotes() {
            for good in [&quote.message, &quote.signature, &quote.ak_public] {
                let mixed = [&good[..cut.index(good.len())], &bytes].concat();
                let _ = (Attest::parse(&mixed), Public::parse(&mixed), TpmSignature::parse(&mixed));
                let mut changed = quote.clone();
                (changed.message, changed.ak_public) = (mixed.clone(), mixed);
                assert!(changed.verify(&qualifying).is_err());
            }
        }
    }
}
