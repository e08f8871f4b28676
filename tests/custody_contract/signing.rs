use local_vault::custody::SharedSigningKey;
use local_vault::protocol::{Algorithm, Domain, PublicKey, Signature};

use super::{BACKENDS, preimage};

fn each_key(case: impl Fn(&str, SharedSigningKey)) {
    for backend in BACKENDS {
        case(backend.name, (backend.ed25519)());
        case(backend.name, (backend.p256)());
    }
}

#[test]
fn each_key_says_its_algorithm_and_is_another_one() {
    for backend in BACKENDS {
        assert_eq!((backend.ed25519)().algorithm(), Algorithm::Ed25519, "{}", backend.name);
        assert_eq!((backend.p256)().algorithm(), Algorithm::Es256, "{}", backend.name);
        assert_ne!((backend.ed25519)().public_key(), (backend.ed25519)().public_key(), "{}", backend.name);
        assert_ne!((backend.p256)().public_key(), (backend.p256)().public_key(), "{}", backend.name);
    }
}

#[test]
fn a_signature_verifies_under_the_public_key_that_others_read() {
    each_key(|name, key| {
        let preimage = preimage(Domain::Source, "a");
        let signature = key.sign(&preimage).unwrap();
        let public = PublicKey::from_hex(&key.public_key().to_hex()).unwrap();
        assert_eq!(public.verify(&preimage, &signature), Ok(()), "{name}");
    });
}

#[test]
fn a_signature_verifies_for_no_other_payload_and_no_other_domain() {
    each_key(|name, key| {
        let signature = key.sign(&preimage(Domain::Source, "a")).unwrap();
        for other in [preimage(Domain::Source, "b"), preimage(Domain::Relay, "a"), preimage(Domain::Epoch, "a")] {
            assert!(key.public_key().verify(&other, &signature).is_err(), "{name}: {other:?}");
        }
    });
}

#[test]
fn a_signature_verifies_under_no_other_key() {
    for backend in BACKENDS {
        for make in [backend.ed25519, backend.p256] {
            let preimage = preimage(Domain::Source, "a");
            let signature = make().sign(&preimage).unwrap();
            assert!(make().public_key().verify(&preimage, &signature).is_err(), "{}", backend.name);
        }
    }
}

#[test]
fn a_signature_with_any_bit_flipped_does_not_verify() {
    each_key(|name, key| {
        let preimage = preimage(Domain::Source, "a");
        let signature = *key.sign(&preimage).unwrap().as_bytes();
        for bit in 0..512 {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verdict = key.public_key().verify(&preimage, &Signature::from_bytes(flipped));
            assert!(verdict.is_err(), "{name}: bit {bit}");
        }
    });
}

#[test]
fn ed25519_is_deterministic() {
    for backend in BACKENDS {
        let key = (backend.ed25519)();
        let preimage = preimage(Domain::Relay, "a");
        assert_eq!(key.sign(&preimage), key.sign(&preimage), "{}", backend.name);
    }
}

#[test]
fn es256_signs_with_a_low_s() {
    for backend in BACKENDS {
        let key = (backend.p256)();
        // Half of all raw signatures have a high s, so 64 low ones are no accident.
        for i in 0..64 {
            let signature = key.sign(&preimage(Domain::Source, &i.to_string())).unwrap();
            let parsed = p256::ecdsa::Signature::from_slice(signature.as_bytes()).unwrap();
            assert_eq!(parsed.normalize_s(), parsed, "{}: {i}", backend.name);
        }
    }
}

#[test]
fn debug_shows_the_public_half_alone() {
    each_key(|name, key| {
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.public_key().to_hex()), "{name}");
        assert!(shown.len() < key.public_key().to_hex().len() + 32, "{name}: {shown}");
    });
}
