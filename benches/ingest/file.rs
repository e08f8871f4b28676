use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::event;

/// Lines of the file, unless the environment says another number.
const EVENTS: u32 = 200_000;

/// `enqueue --ndjson` of a file, by the binary, with the most memory that it had.
pub(crate) fn run(folder: &Path) {
    let events = std::env::var("LOCAL_VAULT_BENCH_EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let file = folder.join("events.ndjson");
    let mut out = BufWriter::new(File::create(&file).unwrap());
    for n in 0..events {
        writeln!(out, "{}", event(n % 64, n, false)).unwrap();
    }
    out.flush().unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
    command.args(["enqueue", "--ndjson"]).arg(&file).current_dir(folder).env_clear();
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    command.env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", key).env("HOME", folder).stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(resident(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let seconds = begun.elapsed().as_secs_f64();
    assert!(status.success());
    let rate = f64::from(events) / seconds;
    let disk = fs::metadata(folder.join("local-vault-spool.sqlite3")).unwrap().len() / u64::from(events);
    println!(
        "  enqueue --ndjson of {events:<16} {rate:>9.0} events/s, RSS {} MiB, {disk} bytes/event on disk",
        most / 1024
    );
}

/// The most memory that a process had so far, in KiB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
