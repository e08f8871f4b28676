//! What a long backlog costs: ten million queued events against a thousand. Nothing here is asserted; `ci/bench --big`
//! runs it, and it is read by people.
//!
//! `LOCAL_VAULT_BENCH_EVENTS` makes the backlog another, and `LOCAL_VAULT_BENCH_DIR` keeps it somewhere else than beside
//! what is built. It stays there for the next run.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod backlog;
mod disk;
#[path = "../support/fill.rs"]
mod fill;
#[path = "../support/payload.rs"]
mod payload;
#[path = "../support/receiver.rs"]
mod receiver;
mod relay;

use std::path::PathBuf;
use std::process::ExitCode;

use receiver::Receiver;

const EVENTS: u64 = 10_000_000;
const FEW: u64 = 1_000;
const STREAMS: u64 = 64;
const ROUNDS: usize = 15;

fn main() -> ExitCode {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let setting = |name: &str| std::env::var(format!("LOCAL_VAULT_BENCH_{name}")).ok();
    let events = setting("EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let folder = setting("DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from).join("big");
    if let Err(missing) = backlog::fill(&folder, events) {
        println!("{missing}");
        return ExitCode::FAILURE;
    }
    println!(
        "{events} events queued: {:.0} bytes of disk each (target under 900)",
        disk::spool(&folder) / events as f64
    );
    against_few(&folder, events);
    disk::of_settled();
    ExitCode::SUCCESS
}

/// Drains as many of a long queue as of a short one, in turns.
fn against_few(folder: &std::path::Path, events: u64) {
    let receiver = Receiver::start();
    let (mut long, mut short) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        backlog::fill(folder, events).unwrap();
        long.push(relay::drain(&receiver, folder, FEW));
        let few = tempfile::tempdir().unwrap();
        backlog::fill(few.path(), FEW).unwrap();
        short.push(relay::drain(&receiver, few.path(), FEW));
    }
    let median = |drained: &[relay::Drained], of: fn(&relay::Drained) -> f64| {
        let mut figures: Vec<_> = drained.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let rate = |drained: &[relay::Drained]| median(drained, |drained| drained.rate);
    let first = |drained: &[relay::Drained]| median(drained, |drained| drained.first_ms);
    let (many, few) = (rate(&long), rate(&short));
    println!(
        "drain with {events} queued: {many:.0} events/s, with {FEW}: {few:.0}: ratio {:.2} (target 0.9)",
        many / few
    );
    println!(
        "start to first relayed event: {:.0} ms, with {FEW} queued {:.0} (target 1,000)",
        first(&long),
        first(&short)
    );
}
