//! How fast checkpoints are witnessed, each committed with an fsync and signed, callers included; and what a large state
//! costs. Nothing here is asserted: the machines are noisy, and `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../custody/hsm.rs"]
#[allow(dead_code)]
mod hsm;

mod client;
mod large;
mod place;
mod server;

use std::sync::Arc;

use client::{CLIENT, Figures};
use hsm::SoftHsm;
use local_vault::protocol::Algorithm;
use place::Place;
use server::Server;

fn main() {
    if let Ok(load) = std::env::var(CLIENT) {
        return client::main(&load);
    }
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let hsm = SoftHsm::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!(
        "witness, 32 connections to the local socket from another process, a stream each; each checkpoint is committed"
    );
    println!("with an fsync and signed, and each use of the key is in the audit log before");
    let places = [
        ("software key", Place::software()),
        ("key in SoftHSM", Place::of_key(Arc::new(hsm.signing_key(Algorithm::Ed25519).0), 4)),
    ];
    for (name, place) in places {
        let bare = runtime.block_on(place.bare_signatures());
        println!("  {name}: {bare:.0} signatures/s with 32 callers and nothing else");
        let server = Server::start(&place, "state");
        let Figures { rate, p50, p99 } = client::run(server.socket(), "fast", 600, 0);
        let part = rate / bare;
        println!(
            "    as fast as it goes {rate:>7.0} checkpoints/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {part:.2} of the signatures"
        );
        let Figures { rate, p50, p99 } = client::run(server.socket(), "offered", 600, 3000);
        println!("    3,000/s offered    {rate:>7.0} checkpoints/s, p50 {p50:.2} ms, p99 {p99:.2} ms");
        server.end();
    }
    runtime.block_on(large::run(1_000_000, 10_000));
}
