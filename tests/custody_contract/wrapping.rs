use std::sync::Arc;

use local_vault::custody::{DataKey, ErrorKind, WrappedKey, WrappingKey};

use super::BACKENDS;

const CONTEXT: &[u8] = b"epoch 7";

fn each_wrapped_key(case: impl Fn(&str, &dyn WrappingKey, &WrappedKey, Arc<dyn DataKey>)) {
    for backend in BACKENDS {
        let key = (backend.wrapping)();
        let (wrapped, data_key) = key.generate_data_key(CONTEXT).unwrap();
        case(backend.name, &*key, &wrapped, data_key);
    }
}

fn refuses(key: &dyn WrappingKey, wrapped: &[u8], context: &[u8]) -> bool {
    match key.unwrap_data_key(&WrappedKey(wrapped.to_vec()), context) {
        Ok(_) => false,
        Err(e) => e.kind == ErrorKind::Broken,
    }
}

#[test]
fn an_unwrapped_key_opens_what_the_made_one_sealed() {
    each_wrapped_key(|name, key, wrapped, made| {
        let sealed = made.seal(b"aad", b"record").unwrap();
        let unwrapped = key.unwrap_data_key(wrapped, CONTEXT).unwrap();
        assert_eq!(unwrapped.open(b"aad", &sealed).unwrap().as_slice(), b"record", "{name}");
    });
}

#[test]
fn another_context_does_not_unwrap() {
    each_wrapped_key(|name, key, wrapped, _| {
        for context in [b"epoch 8".as_slice(), b"", b"epoch 77"] {
            assert!(refuses(key, &wrapped.0, context), "{name}");
        }
    });
}

#[test]
fn another_wrapping_key_does_not_unwrap() {
    for backend in BACKENDS {
        let (wrapped, _) = (backend.wrapping)().generate_data_key(CONTEXT).unwrap();
        assert!(refuses(&*(backend.wrapping)(), &wrapped.0, CONTEXT), "{}", backend.name);
    }
}

#[test]
fn a_wrapped_key_with_any_bit_flipped_does_not_unwrap() {
    each_wrapped_key(|name, key, wrapped, _| {
        for bit in 0..wrapped.0.len() * 8 {
            let mut flipped = wrapped.0.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(refuses(key, &flipped, CONTEXT), "{name}: bit {bit}");
        }
    });
}

#[test]
fn a_wrapped_key_of_any_other_length_does_not_unwrap() {
    each_wrapped_key(|name, key, wrapped, _| {
        for length in 0..wrapped.0.len() {
            assert!(refuses(key, &wrapped.0[..length], CONTEXT), "{name}: {length} bytes");
        }
        assert!(refuses(key, &[wrapped.0.as_slice(), &[0]].concat(), CONTEXT), "{name}: longer");
    });
}

#[test]
fn each_data_key_is_another_one() {
    each_wrapped_key(|name, key, wrapped, made| {
        let (second_wrapped, second) = key.generate_data_key(CONTEXT).unwrap();
        assert_ne!(*wrapped, second_wrapped, "{name}");
        assert!(second.open(b"", &made.seal(b"", b"record").unwrap()).is_err(), "{name}");
    });
}

#[test]
fn the_key_id_names_the_key_in_few_harmless_characters() {
    for backend in BACKENDS {
        let [first, second] = [(backend.wrapping)(), (backend.wrapping)()];
        assert_ne!(first.key_id(), second.key_id(), "{}", backend.name);
        assert!(first.key_id().len() <= 64 && first.key_id().bytes().all(|c| c.is_ascii_graphic() && c != b'|'));
        assert_eq!(first.scheme(), second.scheme(), "{}", backend.name);
    }
}
