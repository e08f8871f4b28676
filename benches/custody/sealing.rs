//! Sealing 1 KiB: a resident data key against a bare C_EncryptInit and C_Encrypt under the same session object, and a
//! released one, whose cost is no device's.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use local_vault::custody::pkcs11::{KeyName, NewWrappingKey, Scheme};
use local_vault::custody::{DataKey, WrappingKey as _};

use crate::hsm::{SoftHsm, find};
use crate::median;

const RECORD: usize = 1024;
const AAD: &[u8] = &[7; 64];
const SLICES: usize = 60;
const PER_SLICE: usize = 400;

pub(crate) fn run(hsm: &SoftHsm) {
    let resident = data_key(hsm, Scheme::AesKw);
    let released = data_key(hsm, Scheme::AesGcm);
    let record = [7; RECORD];
    let session = hsm.session();
    resident.seal(AAD, &record).unwrap();
    let session_object = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
    let handle = find(&session, &[session_object.as_slice(), &[Attribute::Token(false)]].concat());

    let (mut ours, mut kernel, mut token, mut software) = (vec![], vec![], vec![], vec![]);
    for _ in 0..SLICES {
        kernel.push(micros(|| bare(&session, handle, &record, |nonce| getrandom::fill(nonce).unwrap())));
        ours.push(micros(|| drop(black_box(resident.seal(AAD, &record).unwrap()))));
        token.push(micros(|| bare(&session, handle, &record, |nonce| session.generate_random_slice(nonce).unwrap())));
        software.push(micros(|| drop(black_box(released.seal(AAD, &record).unwrap()))));
    }
    let ratio = |bare: &[f64]| median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours).collect());
    println!("seal {RECORD} bytes, resident, against bare C_EncryptInit + C_Encrypt");
    println!("  nonce of the bare loop from the kernel  ratio {:.2} (target 0.8)", ratio(&kernel));
    println!("  nonce of the bare loop from the token   ratio {:.2}", ratio(&token));
    let (ours, kernel, token) = (median(ours), median(kernel), median(token));
    println!("  ours {ours:.1} us, bare {kernel:.1} us and {token:.1} us; released {:.1} us", median(software));
}

fn data_key(hsm: &SoftHsm, scheme: Scheme) -> Arc<dyn DataKey> {
    let name = KeyName { label: scheme.name().into(), id: Some(local_vault::facts::random_id("").into_bytes()) };
    let wrapping = hsm.token.generate_wrapping(&NewWrappingKey { name, scheme }).unwrap();
    // As at every later start: read back, and not as it was made.
    let wrapped = wrapping.generate_data_key(b"bench").unwrap().0;
    wrapping.unwrap_data_key(&wrapped, b"bench").unwrap()
}

fn bare(session: &Session, key: ObjectHandle, record: &[u8], random: impl FnOnce(&mut [u8])) {
    let mut nonce = [0; 12];
    random(&mut nonce);
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut nonce, AAD, 128.into()).unwrap());
    black_box(session.encrypt(&mechanism, key, record).unwrap());
}

/// Microseconds for one.
fn micros(work: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..PER_SLICE {
        work();
    }
    start.elapsed().as_secs_f64() * 1e6 / PER_SLICE as f64
}
