//! A [`Signer`] over the token, its strict verification included, against a bare loop over C_SignInit and C_Sign with a
//! session a thread: the same key, the same messages.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use local_vault::custody::{Purpose, PurposeKey, Signer, SignerConfig};
use local_vault::protocol::json::Object;
use local_vault::protocol::{Algorithm, Domain, Preimage};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::hsm::{SoftHsm, find};
use crate::median;

const MESSAGE: usize = 600;
const SLICES: usize = 25;
/// Tasks for each thread that signs. A task awaits its signature, verifies it and asks for the next one, so that one
/// task alone would leave the thread idle meanwhile.
const CALLERS: usize = 4;

pub(crate) fn run(hsm: &SoftHsm) {
    // As many workers as the commands have.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("sign {MESSAGE} bytes and verify strictly, {CALLERS} callers a thread, against bare C_SignInit + C_Sign");
    compare(hsm, &runtime, Algorithm::Ed25519, 200, [0.70, 0.75]);
    compare(hsm, &runtime, Algorithm::Es256, 600, [0.45, 0.45]);
}

/// One thread and two, `count` signatures a thread in each slice.
fn compare(hsm: &SoftHsm, runtime: &Runtime, algorithm: Algorithm, count: usize, targets: [f64; 2]) {
    let (key, label) = hsm.signing_key(algorithm);
    let (purpose, domain) = match algorithm {
        Algorithm::Ed25519 => (Purpose::Relay, Domain::Relay),
        Algorithm::Es256 => (Purpose::Source, Domain::Source),
    };
    let message = message(domain);
    let key = PurposeKey::bind(purpose, "k", Arc::new(key)).unwrap();
    let signers = [1, 2].map(|threads| Signer::spawn(key.clone(), SignerConfig { threads, ..Default::default() }));
    let mut sessions = [hsm.session(), hsm.session()];
    let label = Attribute::Label(label.into_bytes());
    let bare_key = find(&sessions[0], &[Attribute::Class(ObjectClass::PRIVATE_KEY), label]);
    let input = input(algorithm, &message);

    // [threads - 1][slice]
    let (mut bare_rates, mut our_rates) = ([vec![], vec![]], [vec![], vec![]]);
    for slice in 0..=SLICES {
        for threads in [1, 2] {
            let bare_rate = bare_rate(&mut sessions[..threads], algorithm, bare_key, &input, count);
            let our_rate = runtime.block_on(rate(&signers[threads - 1], &message, threads, count));
            // The first slice opens sessions and looks for the key.
            if slice > 0 {
                bare_rates[threads - 1].push(bare_rate);
                our_rates[threads - 1].push(our_rate);
            }
        }
    }
    let ratio = |ours: &[f64], bare: &[f64]| median(ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect());
    for (i, target) in targets.iter().enumerate() {
        let (threads, ratio) = (i + 1, ratio(&our_rates[i], &bare_rates[i]));
        let (ours, bare) = (median(our_rates[i].clone()), median(bare_rates[i].clone()));
        let name = algorithm.name();
        println!(
            "  {name:<8} threads {threads}  ratio {ratio:.2} (target {target})   ours {ours:.0}/s, bare {bare:.0}/s"
        );
    }
    let (ours, bare) = (ratio(&our_rates[1], &our_rates[0]), ratio(&bare_rates[1], &bare_rates[0]));
    println!("  {:<8} two threads against one: ours {ours:.2} (target 1.3), bare {bare:.2}", algorithm.name());
}

/// Signatures a second through the signer.
async fn rate(signer: &Signer, message: &Preimage, threads: usize, count: usize) -> f64 {
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS * threads)
        .map(|_| {
            let (signer, mut message) = (signer.clone(), message.clone());
            tokio::spawn(async move {
                for _ in 0..count / CALLERS {
                    message = signer.sign(message, "req_1").await.unwrap().0;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    (count * threads) as f64 / start.elapsed().as_secs_f64()
}

/// Signatures a second of the module itself, a thread for each session. A digest is made beforehand.
fn bare_rate(sessions: &mut [Session], algorithm: Algorithm, key: ObjectHandle, input: &[u8], count: usize) -> f64 {
    let start = Instant::now();
    let threads = sessions.len();
    thread::scope(|scope| {
        for session in sessions {
            scope.spawn(move || {
                let mechanism = mechanism(algorithm);
                for _ in 0..count {
                    black_box(session.sign(&mechanism, key, input).unwrap());
                }
            });
        }
    });
    (count * threads) as f64 / start.elapsed().as_secs_f64()
}

fn mechanism(algorithm: Algorithm) -> Mechanism<'static> {
    match algorithm {
        Algorithm::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Algorithm::Es256 => Mechanism::Ecdsa,
    }
}

/// What the token signs: the message itself, or its digest.
fn input(algorithm: Algorithm, message: &Preimage) -> Vec<u8> {
    match algorithm {
        Algorithm::Ed25519 => message.as_bytes().to_vec(),
        Algorithm::Es256 => Sha256::digest(message.as_bytes()).to_vec(),
    }
}

fn message(domain: Domain) -> Preimage {
    let padded = |n| Preimage::new(domain, &Object::new().with("padding", "x".repeat(n)));
    let rest = MESSAGE - padded(0).as_bytes().len();
    padded(rest)
}
