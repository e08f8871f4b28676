//! What keys in a TPM cost, over a swtpm: ours against bare loops over the library, printed as ratios and rates of one
//! run. Slices of both alternate, so that a machine whose speed drifts changes both. Nothing is asserted.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod bare;
mod sealed;
mod start;
#[path = "../../tests/support/swtpm.rs"]
mod swtpm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use local_vault::custody::tpm::{Parent, PolicyKey, Tcti, Tpm, TpmConfig};
use local_vault::facts::Digest;
use local_vault::protocol::json::Object;
use local_vault::protocol::{Algorithm, Domain, Preimage};
use swtpm::Swtpm;
use tempfile::TempDir;

/// A slice, and how many of each kind.
const SLICE: Duration = Duration::from_millis(400);
const SLICES: usize = 9;

/// A backend without work lets go of the TPM, which the bare loop then has for itself.
const LET_GO: Duration = Duration::from_millis(60);

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (swtpm, folder) = (Swtpm::new(), TempDir::new().unwrap());
    let tpm = provisioned(&swtpm, &folder);
    es256(&swtpm, &tpm);
    sealed::run(&tpm);
    drop(tpm);
    start::run(&swtpm, &folder);
}

/// ES256 in the TPM.
fn es256(swtpm: &Swtpm, tpm: &Arc<Tpm>) {
    let key = tpm.generate("bench-es256", Algorithm::Es256).unwrap();
    let message = preimage();
    std::thread::sleep(LET_GO);
    let bare = bare::Keys::make(&swtpm.tcti());
    let (mut policy, mut password, mut ours, mut verified) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SLICES {
        let mut open = bare.open();
        policy.push(rate(|| open.sign_under_policy()));
        password.push(rate(|| open.sign_with_password()));
        drop(open);
        key.sign(&message).unwrap();
        ours.push(rate(|| _ = key.sign(&message).unwrap()));
        verified.push(rate(|| key.public_key().verify(&message, &key.sign(&message).unwrap()).unwrap()));
        std::thread::sleep(LET_GO);
    }
    let ratio = |ours: &[f64], bare: &[f64]| median(ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect());
    println!("ES256, bare loop under a PCR policy, /s          {:8.0}", median(policy.clone()));
    println!("ES256, ours / that                               {:8.2}", ratio(&ours, &policy));
    println!("ES256, ours and verified / that                  {:8.2}", ratio(&verified, &policy));
    println!("ES256, ours / a bare key with a password alone   {:8.2}", ratio(&ours, &password));
}

fn provisioned(swtpm: &Swtpm, folder: &TempDir) -> Arc<Tpm> {
    let mut config = TpmConfig::without_keys(Tcti::parse(&swtpm.tcti()).unwrap(), "sha256:7,11,14".parse().unwrap());
    config.parent = Parent::Template;
    config.folder = folder.path().join("tpm");
    config.security_digest = Digest::of(b"bench");
    let key = PolicyKey::create(&folder.path().join("policy.pem")).unwrap();
    config.policy_key = Some(key.public_key().clone());
    config.parent_name = Some(Tpm::new(config.clone()).provision(key).unwrap());
    Tpm::new(config)
}

fn preimage() -> Preimage {
    Preimage::new(Domain::Source, &Object::new().with("text", "x".repeat(400)))
}

/// How often a second something is done.
fn rate(mut work: impl FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0u32);
    while start.elapsed() < SLICE {
        work();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
