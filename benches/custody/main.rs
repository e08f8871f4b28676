//! What keys in a token cost, over SoftHSM: ours against a bare loop over the module's functions, printed as ratios and
//! rates of one run. Slices of both alternate, so that a machine whose speed drifts changes both. Nothing is asserted.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod hsm;
mod process;
mod sealing;
mod signing;
mod verify;

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let hsm = hsm::SoftHsm::start();
    signing::run(&hsm);
    sealing::run(&hsm);
    verify::run();
    process::run(&hsm);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
