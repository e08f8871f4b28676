//! The test vectors of C2SP XAES-256-GCM: <https://c2sp.org/XAES-256-GCM>. One for each value of the bit that decides
//! how K1 is made.

use local_vault::custody::{DataKey as _, ReleasedDataKey, Sealed};

#[test]
fn a_released_key_opens_the_c2sp_vector_with_the_high_bit_clear() {
    let opened = open(0x01, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
    assert_eq!(opened, b"XAES-256-GCM");
}

#[test]
fn a_released_key_opens_the_c2sp_vector_with_the_high_bit_set() {
    let sealed = "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d";
    let opened = open(0x03, b"c2sp.org/XAES-256-GCM", sealed);
    assert_eq!(opened, b"XAES-256-GCM");
}

fn open(key: u8, aad: &[u8], sealed: &str) -> Vec<u8> {
    let key = ReleasedDataKey::new(&mut [key; 32]);
    let sealed = Sealed { nonce: b"ABCDEFGHIJKLMNOPQRSTUVWX".to_vec(), ciphertext: hex::decode(sealed).unwrap() };
    key.open(aad, &sealed).unwrap().to_vec()
}
