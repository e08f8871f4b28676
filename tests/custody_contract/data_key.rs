use std::collections::HashSet;
use std::sync::Arc;

use local_vault::custody::{DataKey, ErrorKind, ReleasedDataKey, Sealed};

use super::BACKENDS;

fn each_data_key(case: impl Fn(&str, Arc<dyn DataKey>)) {
    for backend in BACKENDS {
        case(backend.name, (backend.wrapping)().generate_data_key(b"").unwrap().1);
    }
}

fn refuses(key: &dyn DataKey, aad: &[u8], nonce: &[u8], ciphertext: &[u8]) -> bool {
    let sealed = Sealed { nonce: nonce.to_vec(), ciphertext: ciphertext.to_vec() };
    key.open(aad, &sealed).is_err_and(|e| e.kind == ErrorKind::Broken)
}

#[test]
fn what_is_sealed_opens_at_any_length() {
    each_data_key(|name, key| {
        for length in [0, 1, 15, 16, 17, 1_000, 1 << 20] {
            let record = vec![0xa5; length];
            let sealed = key.seal(b"aad", &record).unwrap();
            assert_eq!(key.open(b"aad", &sealed).unwrap().as_slice(), record, "{name}: {length} bytes");
        }
    });
}

#[test]
fn other_associated_data_does_not_open() {
    each_data_key(|name, key| {
        let sealed = key.seal(b"spool 1", b"record").unwrap();
        for aad in [b"spool 2".as_slice(), b"", b"spool 11"] {
            assert!(refuses(&*key, aad, &sealed.nonce, &sealed.ciphertext), "{name}");
        }
    });
}

#[test]
fn a_record_with_any_byte_changed_does_not_open() {
    each_data_key(|name, key| {
        let sealed = key.seal(b"aad", b"a record of some length").unwrap();
        for at in 0..sealed.ciphertext.len() {
            let mut flipped = sealed.ciphertext.clone();
            flipped[at] ^= 0x80;
            assert!(refuses(&*key, b"aad", &sealed.nonce, &flipped), "{name}: ciphertext byte {at}");
        }
        for at in 0..sealed.nonce.len() {
            let mut flipped = sealed.nonce.clone();
            flipped[at] ^= 0x01;
            assert!(refuses(&*key, b"aad", &flipped, &sealed.ciphertext), "{name}: nonce byte {at}");
        }
    });
}

#[test]
fn a_record_that_was_cut_or_lengthened_does_not_open() {
    each_data_key(|name, key| {
        let sealed = key.seal(b"aad", b"record").unwrap();
        for length in 0..sealed.ciphertext.len() {
            assert!(refuses(&*key, b"aad", &sealed.nonce, &sealed.ciphertext[..length]), "{name}: {length} bytes");
        }
        for length in 0..sealed.nonce.len() {
            assert!(refuses(&*key, b"aad", &sealed.nonce[..length], &sealed.ciphertext), "{name}: {length} bytes");
        }
        assert!(refuses(&*key, b"aad", &sealed.nonce, &[sealed.ciphertext.as_slice(), &[0]].concat()), "{name}");
    });
}

#[test]
fn no_nonce_comes_twice_and_equal_records_do_not_look_equal() {
    each_data_key(|name, key| {
        let sealed: Vec<Sealed> = (0..1_000).map(|_| key.seal(b"", b"record").unwrap()).collect();
        let nonces: HashSet<&[u8]> = sealed.iter().map(|s| s.nonce.as_slice()).collect();
        let ciphertexts: HashSet<&[u8]> = sealed.iter().map(|s| s.ciphertext.as_slice()).collect();
        assert_eq!((nonces.len(), ciphertexts.len()), (1_000, 1_000), "{name}");
    });
}

/// The test vectors of C2SP XAES-256-GCM: <https://c2sp.org/XAES-256-GCM>. One for each value of the bit that
/// decides how K1 is made.
#[test]
fn a_released_key_opens_the_c2sp_vector_with_the_high_bit_clear() {
    let opened = c2sp(0x01, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
    assert_eq!(opened, b"XAES-256-GCM");
}

#[test]
fn a_released_key_opens_the_c2sp_vector_with_the_high_bit_set() {
    let sealed = "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d";
    let opened = c2sp(0x03, b"c2sp.org/XAES-256-GCM", sealed);
    assert_eq!(opened, b"XAES-256-GCM");
}

fn c2sp(key: u8, aad: &[u8], sealed: &str) -> Vec<u8> {
    let key = ReleasedDataKey::new(&mut [key; 32]);
    let sealed = Sealed { nonce: b"ABCDEFGHIJKLMNOPQRSTUVWX".to_vec(), ciphertext: hex::decode(sealed).unwrap() };
    key.open(aad, &sealed).unwrap().to_vec()
}
