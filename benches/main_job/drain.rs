//! Drains a spool over TLS on loopback into the receiver, each in a process of its own: events a second with the
//! receiver included, the peak of the relay's memory, and the time from start to the first relayed event.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cpu::ticks_of_children;
use crate::payload::payload;
use crate::receiver::{INSTALLATION, ROOT, Receiver, SEED};
use crate::sign::median;

const STREAMS: usize = 8;

pub(crate) fn run() {
    let receiver = Receiver::start();
    let starts: Vec<f64> = (0..5).map(|_| first_event(&receiver)).collect();
    println!("start to first relayed event: {:.0} ms (target under 300)", median(starts));
    let (enqueued, rate, peak) = drain(&receiver, 100_000);
    println!("enqueue, 64 at once, one fsync a batch: {enqueued:.0} events/s");
    println!("drain over TLS, {STREAMS} streams, receiver included: {rate:.0} events/s (target 1,500)");
    println!("peak memory of the relay while draining 100,000 events: {peak} KiB (target under 40,960)");
    let (warn, info) = logged(&receiver, 10_000, 7);
    println!("drain, nothing logged: {:.0} events/s; each event at info as JSON: {:.0} events/s", warn.rate, info.rate);
    let cost = |ratio: f64| (1.0 - ratio) * 100.0;
    println!("what the log costs: {:.1} % of the events/s (target under 3)", cost(info.rate / warn.rate));
    println!("and {:.1} % of the relay's processor time, which varies less", cost(warn.ticks / info.ticks));
}

/// What a drain showed.
struct Drained {
    rate: f64,
    /// Processor time of the relay, in ticks of the kernel's.
    ticks: f64,
}

impl Drained {
    fn median(drained: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(drained.iter().map(figure).collect());
        Self { rate: of(|drained| drained.rate), ticks: of(|drained| drained.ticks) }
    }
}

/// Drains without a line of log and with one for each event to a file: the medians of `rounds` in turns.
fn logged(receiver: &Receiver, events: usize, rounds: usize) -> (Drained, Drained) {
    let round = |level: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.sqlite3");
        fill(&path, events);
        let log = folder.path().join("log");
        let (start, before) = (Instant::now(), ticks_of_children());
        let count = events.to_string();
        let words = ["--log", level, "--log-format", "json", "drain-loop", "--max-iterations", &count];
        let mut child = relay(receiver, &path, &words, File::create(&log).unwrap().into());
        assert_eq!(sent(&mut child), events);
        let rate = events as f64 / start.elapsed().as_secs_f64();
        child.wait().unwrap();
        let lines = fs::read_to_string(&log).unwrap().lines().count();
        assert_eq!(lines, if level == "info" { events } else { 0 });
        Drained { rate, ticks: ticks_of_children() - before }
    };
    let (warn, info): (Vec<_>, Vec<_>) = (0..rounds)
        .map(|turn| {
            // Whoever goes second finds the machine as the first left it.
            if turn % 2 == 0 {
                (round("warn"), round("info"))
            } else {
                let info = round("info");
                (round("warn"), info)
            }
        })
        .unzip();
    (Drained::median(&warn), Drained::median(&info))
}

/// Milliseconds from the start of the process to the line of its first event.
fn first_event(receiver: &Receiver) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    fill(&path, 1);
    let start = Instant::now();
    let mut child = relay(receiver, &path, &["drain-once"], Stdio::inherit());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let time = start.elapsed();
    assert!(line.contains("\"sent\": true"), "{line}");
    child.wait().unwrap();
    time.as_secs_f64() * 1e3
}

/// Events enqueued a second, relayed a second, and the relay's peak of memory in KiB.
fn drain(receiver: &Receiver, events: usize) -> (f64, f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    let start = Instant::now();
    fill(&path, events);
    let enqueued = events as f64 / start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut child = relay(receiver, &path, &["drain-loop", "--max-iterations", &events.to_string()], Stdio::inherit());
    let status = format!("/proc/{}/status", child.id());
    let peak = thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|rest| rest.trim().strip_suffix(" kB")) else { break };
            peak = kib.trim().parse().unwrap_or(peak);
            thread::sleep(Duration::from_millis(50));
        }
        peak
    });
    let sent = sent(&mut child);
    let rate = sent as f64 / start.elapsed().as_secs_f64();
    child.wait().unwrap();
    assert_eq!(sent, events);
    (enqueued, rate, peak.join().unwrap())
}

fn fill(path: &Path, events: usize) {
    crate::fill::fill(path, events, STREAMS, &payload(600));
}

/// Events that a relay prints as sent, until it ends.
fn sent(child: &mut Child) -> usize {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("\"sent\": true"))).count()
}

/// A drop-in command, from the environment alone.
fn relay(receiver: &Receiver, spool: &Path, arguments: &[&str], log: Stdio) -> Child {
    let mut command = receiver.command();
    command
        .env("SSL_CERT_FILE", receiver.member("ca_file"))
        .env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", ROOT)
        .env("ATTESTO_LOCAL_VAULT_SIGNING_KEY", SEED)
        .env("ATTESTO_LOCAL_VAULT_KEY_ID", "k")
        .env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", INSTALLATION)
        .env("ATTESTO_LOCAL_VAULT_RELAY_URL", receiver.member("url"))
        .arg("--spool-db")
        .arg(spool)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(log);
    command.spawn().unwrap()
}
