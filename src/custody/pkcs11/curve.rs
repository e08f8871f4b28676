//! How tokens write curves and points: CKA_EC_PARAMS and CKA_EC_POINT.

use crate::protocol::{Algorithm, PublicKey};

/// id-Ed25519 as a DER OBJECT IDENTIFIER (RFC 8410).
const ED25519_OID: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
/// `edwards25519` as a DER PrintableString (PKCS#11 3.0, section 2.3.10).
const ED25519_NAME: [u8; 14] = *b"\x13\x0cedwards25519";
/// secp256r1 as a DER OBJECT IDENTIFIER (RFC 5480).
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The form in which a token wants the name of Curve25519 when it makes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EcParams {
    Oid,
    PrintableString,
}

/// CKA_EC_PARAMS for a new key.
pub(super) fn params(algorithm: Algorithm, form: EcParams) -> Vec<u8> {
    match (algorithm, form) {
        (Algorithm::Ed25519, EcParams::Oid) => ED25519_OID.to_vec(),
        (Algorithm::Ed25519, EcParams::PrintableString) => ED25519_NAME.to_vec(),
        (Algorithm::Es256, _) => P256_OID.to_vec(),
    }
}

/// Which of our algorithms a key of this CKA_EC_PARAMS is for, in either form.
pub(super) fn algorithm(params: &[u8]) -> Option<Algorithm> {
    if params == ED25519_OID || params == ED25519_NAME {
        return Some(Algorithm::Ed25519);
    }
    (params == P256_OID).then_some(Algorithm::Es256)
}

/// The key of a CKA_EC_POINT: a DER OCTET STRING around the point, as the standard has it, or the bare point, as some
/// tokens have it. The lengths tell them apart.
pub(super) fn public_key(algorithm: Algorithm, point: &[u8]) -> Option<PublicKey> {
    let length: u8 = match algorithm {
        Algorithm::Ed25519 => 32,
        Algorithm::Es256 => 65,
    };
    let bare = match point {
        [0x04, n, rest @ ..] if *n == length && rest.len() == usize::from(length) => rest,
        bare if bare.len() == usize::from(length) => bare,
        _ => return None,
    };
    match algorithm {
        Algorithm::Ed25519 => PublicKey::ed25519(bare.try_into().ok()?).ok(),
        Algorithm::Es256 => PublicKey::es256(bare).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const P256: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                        7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

    #[test]
    fn a_point_reads_in_der_and_bare() {
        for (algorithm, head, key) in [(Algorithm::Ed25519, "0420", ED25519), (Algorithm::Es256, "0441", P256)] {
            let expected = PublicKey::from_hex(key).unwrap();
            let read = |text: &str| public_key(algorithm, &hex::decode(text).unwrap());
            assert_eq!(read(key), Some(expected.clone()));
            assert_eq!(read(&format!("{head}{key}")), Some(expected));
        }
    }

    #[test]
    fn a_point_of_another_length_or_curve_is_none() {
        let point = hex::decode(ED25519).unwrap();
        assert_eq!(public_key(Algorithm::Ed25519, &point[1..]), None);
        assert_eq!(public_key(Algorithm::Ed25519, &[&[4, 31], &point[1..]].concat()), None);
        assert_eq!(public_key(Algorithm::Es256, &point), None);
        assert_eq!(public_key(Algorithm::Es256, &[4; 65]), None, "not on the curve");
    }

    #[test]
    fn both_names_of_curve25519_are_known_and_no_other_curve() {
        for form in [EcParams::Oid, EcParams::PrintableString] {
            assert_eq!(algorithm(&params(Algorithm::Ed25519, form)), Some(Algorithm::Ed25519));
            assert_eq!(algorithm(&params(Algorithm::Es256, form)), Some(Algorithm::Es256));
        }
        // secp384r1
        assert_eq!(algorithm(&hex::decode("06052b81040022").unwrap()), None);
    }
}
