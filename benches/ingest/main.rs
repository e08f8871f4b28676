//! How fast events come in: over the socket, with the producers in another process on the same cores, against a bare
//! insert and fsync of SQLite in the same run; and from a file. Nothing here is asserted: the machines are noisy, and
//! `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod bare;
mod client;
mod file;
mod server;

use std::env;
use std::path::Path;
use std::process::Command;

use client::{Figures, Load};
use server::Server;

/// What the client process is started with.
const CLIENT: &str = "LOCAL_VAULT_BENCH_CLIENT";

/// The length of each payload.
const PAYLOAD: usize = 300;

fn main() {
    if let Ok(load) = env::var(CLIENT) {
        return client::main(&load);
    }
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("ingest, payloads of {PAYLOAD} bytes");
    let bare = bare::run(&folder.path().join("bare.sqlite3"));
    println!("  bare insert and fsync, alone         {bare:>9.0} events/s");
    let cases = [
        ("one producer", Load { producers: 1, events: 3000, attested: false }),
        ("one producer, attested", Load { producers: 1, events: 2000, attested: true }),
        ("64 producers", Load { producers: 64, events: 1000, attested: false }),
        ("64 producers, attested", Load { producers: 64, events: 600, attested: true }),
    ];
    for (name, load) in cases {
        let (figures, cpu) = over_the_socket(&folder.path().join(name), load);
        let Figures { rate, p50, p99 } = figures;
        let ratio = if load.producers == 1 { format!(", {:.2} of bare", rate / bare) } else { String::new() };
        println!(
            "  {name:<36} {rate:>9.0} events/s, p50 {p50:.2} ms, p99 {p99:.2} ms, server {cpu:.0} us/event{ratio}"
        );
    }
    file::run(folder.path());
}

/// A server of its own in this process and its producers in another one; with the CPU that the server took an event.
fn over_the_socket(folder: &Path, load: Load) -> (Figures, f64) {
    std::fs::create_dir(folder).unwrap();
    let server = Server::start(folder);
    let before = cpu_seconds();
    let mut client = Command::new(env::current_exe().unwrap());
    let output = client.env(CLIENT, load.to_text()).arg(server.socket()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cpu = (cpu_seconds() - before) * 1e6 / f64::from(load.producers * load.events);
    (Figures::from_text(&String::from_utf8(output.stdout).unwrap()), cpu)
}

/// What this process has used so far, its children not among it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    // utime and stime (proc_pid_stat(5)), in ticks of which Linux has 100 a second.
    (ticks(11) + ticks(12)) / 100.0
}
