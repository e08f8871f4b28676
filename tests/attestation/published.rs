//! The records that the published package made.

use local_vault::facts::Digest;
use local_vault::protocol::attestation::{Assurance, AttestationError, SignedRecord};
use local_vault::protocol::json::{self, Object, Value};
use local_vault::protocol::tpm::TpmError;
use local_vault::protocol::{InvalidSignature, PublicKey};

use super::vectors::{ECC, L1, RSA, key, luna, signed};

#[test]
fn a_published_record_reads_verifies_and_is_written_again_to_the_byte() {
    for (file, assurance, kind) in [
        (L1, Assurance::L1, "pkcs11-key-custody"),
        (RSA, Assurance::L2, "tpm2-quote"),
        (ECC, Assurance::L2, "tpm2-quote"),
    ] {
        let object = json::parse(file).unwrap();
        let read = signed(file);
        assert_eq!((read.record.kind(), read.record.assurance()), (kind, assurance));
        assert_eq!(read.to_file(), object);
        assert_eq!(object.get_str("attestation_ref").unwrap(), read.record.attestation_ref().to_string());
        let verified = read.verify(&key()).unwrap();
        assert_eq!((verified.assurance, verified.quoted.is_some()), (assurance, assurance == Assurance::L2));
        assert_eq!(SignedRecord::from_object(&read.to_posted()), Ok(read));
    }
}

#[test]
fn whatever_is_changed_in_a_record_is_refused_by_name() {
    let changes: [(&str, &[&str], Value); 9] = [
        ("record.kind", &["record", "kind"], "pkcs11".into()),
        ("record.quote_message_b64", &["record", "quote_message_b64"], "_w==".into()),
        ("record.pcr_selection", &["record", "pcr_selection"], "sha1:0".into()),
        ("record.measurement_digest", &["record", "measurement_digest"], "00".repeat(32).into()),
        ("record.measurement.issued_at", &["record", "measurement", "issued_at"], "2026-01-01T00:00:00.000Z".into()),
        ("record.measurement.nonce", &["record", "measurement", "nonce"], "AA".repeat(16).into()),
        ("record.token.extractable", &["record", "token", "extractable"], true.into()),
        ("record.version", &["record", "version"], "0.2".into()),
        ("attestation_ref", &["attestation_ref"], "00".repeat(32).into()),
    ];
    for (member, path, value) in changes {
        let error = SignedRecord::from_object(&changed(&json::parse(RSA).unwrap(), path, value)).unwrap_err();
        assert_eq!(error.member(), member);
    }
    for (member, path) in [("record.surprise", &["record", "surprise"][..]), ("surprise", &["surprise"])] {
        let error = SignedRecord::from_object(&changed(&json::parse(L1).unwrap(), path, Value::Null)).unwrap_err();
        assert_eq!(error.member(), member);
    }
}

#[test]
fn a_record_without_its_quote_or_with_one_too_many_has_no_form() {
    let mut object = json::parse(RSA).unwrap();
    let mut record = object.get_object("record").unwrap().clone();
    record.remove("ak_name_hex");
    object.insert("record".into(), record.into());
    assert_eq!(SignedRecord::from_object(&object).unwrap_err().member(), "record.ak_name_hex");
    let weaker = changed(&json::parse(RSA).unwrap(), &["record", "kind"], "pkcs11-key-custody".into());
    assert!(SignedRecord::from_object(&weaker).is_err());
}

#[test]
fn what_was_not_signed_by_this_key_is_refused() {
    let mut read = signed(L1);
    let other = PublicKey::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    assert_eq!(read.verify(&other), Err(AttestationError::OtherKey));
    read.record.holder = luna();
    assert_eq!(read.verify(&key()), Err(AttestationError::Signature(InvalidSignature)));
}

#[test]
fn a_quote_over_another_measurement_is_refused_even_where_the_key_signs_it() {
    let (rsa, ecc) = (signed(RSA).record, signed(ECC).record);
    let digest = rsa.measurement.digest();
    let quote = ecc.holder.quote().unwrap();
    assert_eq!(quote.verify(digest.as_bytes()), Err(TpmError::Qualifying));
    assert_eq!(quote.verify(Digest::of(b"").as_bytes()), Err(TpmError::Qualifying));
}

/// The object with another value at this path.
fn changed(object: &Object, path: &[&str], value: Value) -> Object {
    let (last, rest) = (path[0], &path[1..]);
    let inner = if rest.is_empty() { value } else { changed(object.get_object(last).unwrap(), rest, value).into() };
    object.clone().with(last, inner)
}
