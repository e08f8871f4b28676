//! Drains a spool over TLS on loopback into the sandbox, each in a process of its own: events a second with the
//! receiver included, the peak of the relay's memory, and the time from start to the first relayed event.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::file::{FileKey, KeySource, RootKey, load_signing_key};
use local_vault::custody::{Purpose, PurposeKey, SigningKey as _, WrappingKey as _};
use local_vault::facts::{SecretBytes, SystemClock};
use local_vault::ingest::Ingest;
use local_vault::protocol::json;
use local_vault::spool::{Spool, SpoolKeys};
use tempfile::TempDir;

use crate::sign::{median, payload};

const STREAMS: usize = 8;
const ROOT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SEED: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const INSTALLATION: &str = "ins_bench";

pub(crate) fn run() {
    let sandbox = Sandbox::start();
    let starts: Vec<f64> = (0..5).map(|_| first_event(&sandbox)).collect();
    println!("start to first relayed event: {:.0} ms (target under 300)", median(starts));
    let (enqueued, rate, peak) = drain(&sandbox, 100_000);
    println!("enqueue, 64 at once, one fsync a batch: {enqueued:.0} events/s");
    println!("drain over TLS, {STREAMS} streams, receiver included: {rate:.0} events/s (target 1,500)");
    println!("peak memory of the relay while draining 100,000 events: {peak} KiB (target under 40,960)");
    let (warn, info) = logged(&sandbox, 10_000, 7);
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

/// Processor time of all children that were waited for (proc(5): cutime, cstime).
fn ticks_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let behind_the_name = stat.rsplit_once(") ").unwrap().1;
    behind_the_name.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum()
}

/// Drains without a line of log and with one for each event to a file: the medians of `rounds` in turns.
fn logged(sandbox: &Sandbox, events: usize, rounds: usize) -> (Drained, Drained) {
    let round = |level: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.sqlite3");
        fill(&path, events);
        let log = folder.path().join("log");
        let (start, before) = (Instant::now(), ticks_of_children());
        let count = events.to_string();
        let words = ["--log", level, "--log-format", "json", "drain-loop", "--max-iterations", &count];
        let mut child = relay(sandbox, &path, &words, File::create(&log).unwrap().into());
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
fn first_event(sandbox: &Sandbox) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    fill(&path, 1);
    let start = Instant::now();
    let mut child = relay(sandbox, &path, &["drain-once"], Stdio::inherit());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let time = start.elapsed();
    assert!(line.contains("\"sent\": true"), "{line}");
    child.wait().unwrap();
    time.as_secs_f64() * 1e3
}

/// Events enqueued a second, relayed a second, and the relay's peak of memory in KiB.
fn drain(sandbox: &Sandbox, events: usize) -> (f64, f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    let start = Instant::now();
    fill(&path, events);
    let enqueued = events as f64 / start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut child = relay(sandbox, &path, &["drain-loop", "--max-iterations", &events.to_string()], Stdio::inherit());
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

/// Events that a relay prints as sent, until it ends.
fn sent(child: &mut Child) -> usize {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter(|line| line.as_ref().is_ok_and(|line| line.contains("\"sent\": true"))).count()
}

fn relay(sandbox: &Sandbox, spool: &Path, arguments: &[&str], log: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_local-vault"))
        .env_clear()
        .env("HOME", sandbox.folder.path())
        .env("SSL_CERT_FILE", sandbox.member("ca_file"))
        .env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", ROOT)
        .env("ATTESTO_LOCAL_VAULT_SIGNING_KEY", SEED)
        .env("ATTESTO_LOCAL_VAULT_KEY_ID", "k")
        .env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", INSTALLATION)
        .env("ATTESTO_LOCAL_VAULT_RELAY_URL", sandbox.member("url"))
        .arg("--spool-db")
        .arg(spool)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn fill(path: &Path, events: usize) {
    let root = KeySource::Setting { name: "ROOT", value: SecretBytes::new(ROOT.into()) };
    let root = Arc::new(RootKey::load(&root).unwrap());
    let record = PurposeKey::bind(Purpose::Record, root.key_id(), Arc::new(root.record_key())).unwrap();
    let keys = SpoolKeys { wrapping: root, record };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (folder, longest_file, record) = (path.with_extension("audit"), AuditConfig::LONGEST_FILE, keys.record.clone());
    let audit = AuditConfig { folder, longest_file, record: Some(record), clock: Arc::new(SystemClock) };
    let spool = Arc::new(Spool::open(path, keys, Arc::new(SystemClock)).unwrap());
    let ingest = Ingest::new(spool, Arc::new(Audit::open(audit).unwrap()));
    let payload = payload(600);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..events {
            if tasks.len() == 64 {
                tasks.join_next().await.unwrap().unwrap();
            }
            let (ingest, payload) = (ingest.clone(), payload.clone());
            tasks.spawn(async move {
                let stream = format!("stream-{}", n % STREAMS);
                ingest
                    .payload(&stream, &format!("{}-{n}", local_vault::facts::random_id("r")), &payload, true)
                    .await
                    .unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

/// A sandbox that keeps no record, which would cost more than it serves.
struct Sandbox {
    child: Child,
    folder: TempDir,
    ready: json::Object,
}

impl Sandbox {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready.json");
        let source = KeySource::Setting { name: "SEED", value: SecretBytes::new(SEED.into()) };
        let (key, _): (FileKey, _) = load_signing_key(&source, None).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_local-vault-sandbox"))
            .args(["serve", "--trust", &format!("{INSTALLATION}={}", key.public_key().to_hex())])
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let text = loop {
            match fs::read(&ready) {
                Ok(text) => break text,
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        };
        Self { child, folder, ready: json::parse(&text).unwrap() }
    }

    fn member(&self, name: &str) -> &str {
        self.ready.get_str(name).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It ends with the bench, whatever happens here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
