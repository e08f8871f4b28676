//! Canonicalise, hash and sign through custody, against a bare ed25519-dalek loop over the same bytes. Slices of both
//! alternate, so that a machine whose speed drifts changes both.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::Signer as _;
use local_vault::custody::file::FileKey;
use local_vault::custody::{Purpose, PurposeKey};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::envelope::Envelope;
use local_vault::protocol::json;
use local_vault::protocol::{Domain, Preimage};

use crate::payload::payload;

const SEED: [u8; 32] = [7; 32];
const SLICES: usize = 60;
const PER_SLICE: usize = 400;

pub(crate) fn run() {
    let key = PurposeKey::bind(Purpose::Relay, "k", Arc::new(FileKey::from_seed(SEED))).unwrap();
    let bare = ed25519_dalek::SigningKey::from_bytes(&SEED);
    let payloads: Vec<Vec<u8>> = (300..=1000).step_by(100).map(payload).collect();

    let canonical = |text: &[u8]| {
        let object = json::parse(text).unwrap();
        let preimage = Preimage::new(Domain::Relay, &object);
        (preimage.hash(), key.sign(&preimage).unwrap())
    };
    let envelope = |text: &[u8]| {
        let payload = json::parse(text).unwrap().to_canonical();
        let preimage = envelope_of(&payload).preimage();
        (preimage.hash(), key.sign(&preimage).unwrap())
    };
    // What each of them signs, for the bare loop.
    let preimages: Vec<_> = payloads.iter().map(|p| Preimage::new(Domain::Relay, &json::parse(p).unwrap())).collect();
    let envelopes: Vec<_> =
        payloads.iter().map(|p| envelope_of(&json::parse(p).unwrap().to_canonical()).preimage()).collect();

    println!("canonicalise + hash + sign, payloads of 300 to 1,000 bytes, against bare ed25519-dalek (target 0.70)");
    report("the payload itself ", &payloads, canonical, &preimages, &bare);
    report("payload in envelope", &payloads, envelope, &envelopes, &bare);
}

fn report<T>(
    name: &str,
    payloads: &[Vec<u8>],
    ours: impl Fn(&[u8]) -> T,
    preimages: &[Preimage],
    bare: &ed25519_dalek::SigningKey,
) {
    let (mut ratios, mut ours_us, mut bare_us) = (Vec::new(), Vec::new(), Vec::new());
    for slice in 0..SLICES {
        let (payload, preimage) = (&payloads[slice % payloads.len()], &preimages[slice % payloads.len()]);
        let a = time(|| drop(black_box(ours(black_box(payload)))));
        let b = time(|| {
            black_box(bare.sign(black_box(preimage.as_bytes())));
        });
        ratios.push(b.as_secs_f64() / a.as_secs_f64());
        ours_us.push(a.as_secs_f64() * 1e6 / PER_SLICE as f64);
        bare_us.push(b.as_secs_f64() * 1e6 / PER_SLICE as f64);
    }
    let (ratio, ours, bare) = (median(ratios), median(ours_us), median(bare_us));
    println!("  {name}  ratio {ratio:.2}   ours {ours:.1} us, bare {bare:.1} us");
}

fn time(mut work: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..PER_SLICE {
        work();
    }
    start.elapsed()
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn envelope_of(payload: &[u8]) -> Envelope {
    Envelope {
        installation_id: "ins_0123456789abcdef0123456789abcdef".into(),
        event_id: "lv_0123456789abcdef0123456789abcdef".into(),
        stream_id: "str_documents".into(),
        source_ref: "docs/architecture.md@0123456789abcdef".into(),
        payload_sha256: Digest::of(payload),
        payload_size: payload.len() as u64,
        attempt: 1,
        created_at: Timestamp::from_millis(1_800_000_000_000),
        signed_at: Timestamp::from_millis(1_800_000_000_000),
    }
}
