//! The figures that the main job must reach, printed as ratios and rates of one run. Nothing here is asserted: the
//! machines are noisy, and `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod cpu;
mod drain;
mod enqueue;
#[path = "../support/fill.rs"]
mod fill;
#[path = "../support/payload.rs"]
mod payload;
#[path = "../support/receiver.rs"]
mod receiver;
mod sign;
mod streams;

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cases: [(&str, fn()); 4] =
        [("sign", sign::run), ("enqueue", enqueue::run), ("drain", drain::run), ("streams", streams::run)];
    // `cargo bench --bench main_job -- streams` runs that one alone.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_meant = |name: &str| named.is_empty() || named.iter().any(|argument| argument == name);
    cases.iter().filter(|(name, _)| is_meant(name)).for_each(|(_, run)| run());
}
