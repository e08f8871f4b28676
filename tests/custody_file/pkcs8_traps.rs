use local_vault::custody::ErrorKind;
use local_vault::custody::file::load_signing_key;
use pkcs8::der::asn1::{BitStringRef, OctetStringRef};
use pkcs8::der::{Encode as _, SecretDocument};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Parameters, Pbkdf2Params, ScryptParams};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef};

use super::{PASSPHRASE, SEED, SEED_PUBLIC, load, refusal, setting, works};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A PKCS#8 PEM of our seed that claims this public key.
fn pem_with_public(public: Option<&[u8]>) -> String {
    let private = [&[0x04, 0x20], SEED.as_slice()].concat();
    let info = PrivateKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: ED25519, parameters: None },
        private_key: OctetStringRef::new(&private).unwrap(),
        public_key: public.map(|bytes| BitStringRef::new(0, bytes).unwrap()),
    };
    pem("PRIVATE KEY", &info.to_der().unwrap())
}

fn pem(label: &'static str, der: &[u8]) -> String {
    SecretDocument::try_from(der).unwrap().to_pem(label, LineEnding::LF).unwrap().to_string()
}

#[test]
fn a_public_half_of_another_key_is_refused() {
    let right = hex::decode(SEED_PUBLIC).unwrap();
    works(load(&setting(&pem_with_public(None))));
    works(load(&setting(&pem_with_public(Some(&right)))));

    let mut wrong = right;
    wrong[0] ^= 1;
    assert_eq!(refusal(load(&setting(&pem_with_public(Some(&wrong))))).kind, ErrorKind::Broken);
}

#[test]
fn a_damaged_pem_is_refused_at_every_cut() {
    let whole = pem_with_public(None);
    for length in 0..whole.trim_end().len() {
        let refused = refusal(load(&setting(&whole[..length])));
        assert!(matches!(refused.kind, ErrorKind::Broken | ErrorKind::Misconfigured), "{length}");
    }
}

#[test]
fn text_in_front_of_the_key_is_ignored_and_text_behind_it_is_not() {
    let whole = pem_with_public(None);
    works(load(&setting(&format!("Key Attributes: <No Attributes>\n{whole}"))));
    works(load(&setting(&whole.replace('\n', "\r\n"))));
    assert_eq!(refusal(load(&setting(&format!("{whole}{whole}")))).kind, ErrorKind::Misconfigured);
}

fn costly(kdf: Kdf) -> String {
    let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] };
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: EncryptionScheme::Pbes2(Parameters { kdf, encryption }),
        encrypted_data: OctetStringRef::new(&[0; 48]).unwrap(),
    };
    pem("ENCRYPTED PRIVATE KEY", &info.to_der().unwrap())
}

fn scrypt(cost_parameter: u64, block_size: u16, parallelization: u16) -> Kdf {
    let salt = b"salt".as_slice().try_into().unwrap();
    Kdf::Scrypt(ScryptParams { salt, cost_parameter, block_size, parallelization, key_length: None })
}

fn pbkdf2(iteration_count: u32) -> Kdf {
    Kdf::Pbkdf2(Pbkdf2Params { iteration_count, ..Pbkdf2Params::hmac_sha256(1, b"salt").unwrap() })
}

#[test]
fn a_file_that_asks_for_no_work_or_for_hours_of_it_is_refused_at_once() {
    let passphrase = setting(PASSPHRASE);
    for (kdf, told) in [
        (scrypt(0, 8, 1), "256 MiB"),
        (scrypt(1 << 14, 0, 1), "256 MiB"),
        (scrypt(1 << 14, 8, 0), "256 MiB"),
        (scrypt(1 << 40, 8, 1), "256 MiB"),
        (scrypt(u64::MAX, u16::MAX, u16::MAX), "256 MiB"),
        (scrypt(1 << 14, 8, u16::MAX), "256 MiB"),
        (pbkdf2(0), "iterations"),
        (pbkdf2(u32::MAX), "iterations"),
    ] {
        let refused = refusal(load_signing_key(&setting(&costly(kdf)), Some(&passphrase)));
        assert_eq!(refused.kind, ErrorKind::Misconfigured);
        assert!(refused.message.contains(told), "{refused}");
    }
}

#[test]
fn a_cost_that_is_no_power_of_two_is_not_blamed_on_the_passphrase() {
    let refused = refusal(load_signing_key(&setting(&costly(scrypt(1_000, 8, 1))), Some(&setting(PASSPHRASE))));
    assert_eq!(refused.kind, ErrorKind::Misconfigured);
}
