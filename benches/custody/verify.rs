//! What it costs to verify a signature strictly, and what P-256 would cost with the crate that holds the key
//! (decision 0008).

use std::hint::black_box;
use std::time::Instant;

use local_vault::protocol::json::Object;
use local_vault::protocol::{Domain, Preimage, PublicKey, Signature};
use p256::ecdsa::signature::Verifier as _;

use crate::median;

const SLICES: usize = 60;
const PER_SLICE: usize = 100;

pub(crate) fn run() {
    let message = Preimage::new(Domain::Source, &Object::new().with("padding", "x".repeat(565)));

    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let signature = ed25519_dalek::Signer::sign(&key, message.as_bytes());
    let ed25519 = (PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap(), signature.to_bytes());

    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let p256_signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&key, message.as_bytes());
    let p256_signature = p256_signature.normalize_s();
    let p256_key = *key.verifying_key();
    let es256 = (PublicKey::es256(p256_key.to_sec1_point(false).as_bytes()).unwrap(), p256_signature.to_bytes().into());

    let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
    for _ in 0..SLICES {
        a.push(micros(|| ours(&ed25519, &message)));
        b.push(micros(|| ours(&es256, &message)));
        c.push(micros(|| black_box(p256_key.verify(message.as_bytes(), &p256_signature)).unwrap()));
    }
    println!("verify {} bytes strictly", message.as_bytes().len());
    println!("  Ed25519 {:.0} us, P-256 {:.0} us; P-256 by the p256 crate {:.0} us", median(a), median(b), median(c));
}

fn ours((key, signature): &(PublicKey, [u8; 64]), message: &Preimage) {
    black_box(key.verify(black_box(message), &Signature::from_bytes(*signature))).unwrap();
}

/// Microseconds for one.
fn micros(work: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..PER_SLICE {
        work();
    }
    start.elapsed().as_secs_f64() * 1e6 / PER_SLICE as f64
}
