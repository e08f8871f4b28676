//! How fast checkpoints are witnessed, each committed with an fsync and signed, callers included; and what a large state
//! costs. Nothing here is asserted: the machines are noisy, and `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../custody/hsm.rs"]
#[allow(dead_code)]
mod hsm;

mod desk;
mod large;
mod place;

use desk::Figures;
use hsm::SoftHsm;
use local_vault::protocol::Algorithm;
use place::Place;

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let hsm = SoftHsm::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("witness, 32 callers with a stream each, every use of the key in the audit log");
    let places = [
        ("software key", Place::software()),
        ("key in SoftHSM", Place::of_key(std::sync::Arc::new(hsm.signing_key(Algorithm::Ed25519).0), 4)),
    ];
    for (name, place) in places {
        let bare = runtime.block_on(place.bare_signatures());
        println!("  {name}: {bare:.0} signatures/s with 32 callers and nothing else");
        let Figures { rate, p50, p99 } = runtime.block_on(desk::closed_loop(&place, 32, 500));
        println!(
            "    as fast as it goes   {rate:>7.0} checkpoints/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {:.2} of the signatures",
            rate / bare
        );
        let Figures { rate, p50, p99 } = runtime.block_on(desk::offered(&place, 3000, 9000));
        println!("    3,000/s offered      {rate:>7.0} checkpoints/s, p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    runtime.block_on(large::run(100_000, 10_000));
}
