//! The figures that the main job must reach, printed as ratios and rates of one run. Nothing here is asserted: the
//! machines are noisy, and `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod drain;
mod sign;

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    sign::run();
    drain::run();
}
