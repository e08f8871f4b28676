//! Everything at once: several processes enqueue, one lists, a relay is killed now and then, so are the others, and the
//! receiver lies, stalls, resets and answers as what stands between. In the end nothing is lost.

#![allow(clippy::print_stdout)] // figures

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use local_vault::facts::SystemClock;
use local_vault::spool::{SpoolControl, State};

use super::custody::is_only_for_files;
use super::kill::{Acknowledged, nothing_is_lost, random, setting, start};
use super::place::sandbox;
use super::process::{Running, Vault, lines, said};

/// What the receiver does in turn. What it takes an operator to end is left out, and has tests of its own.
const BEHAVIOURS: [&str; 20] = [
    "close",
    "empty",
    "forbidden",
    "garbage",
    "half-body",
    "html",
    "lie-envelope-hash",
    "lie-event-id",
    "lie-stream",
    "missing-receipt",
    "not-accepted",
    "not-found",
    "redirect",
    "reject",
    "stall",
    "stall-body",
    "too-many",
    "unauthorized",
    "unavailable",
    "unavailable-later",
];

/// How long a kind of command took, each time.
#[derive(Default)]
struct Latencies(Vec<Duration>);

impl Latencies {
    fn print(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: usize| self.0[(self.0.len() - 1) * share / 100];
        println!("{} times {what}: p50 {:?}, p99 {:?}, longest {:?}", self.0.len(), at(50), at(99), at(100));
    }
}

/// A place where one process after the other runs.
struct Slot {
    process: Running,
    started: Instant,
    source_ref: String,
}

impl Slot {
    fn enqueue(vault: &Vault, producer: usize, number: usize) -> Self {
        let (stream, source_ref) = (format!("stream-{producer}"), format!("{producer}/{number}"));
        let payload = vault.folder().join(format!("payload-{producer}.json"));
        fs::write(&payload, format!(r#"{{"producer":{producer},"number":{number}}}"#)).unwrap();
        let words = ["enqueue-json", "--stream-id", &stream, "--source-ref", &source_ref, "--payload-file"];
        let process = Running::start(vault.enqueuer(&words).arg(payload));
        Self { process, started: Instant::now(), source_ref }
    }

    fn list(vault: &Vault) -> Self {
        let mut command = vault.command(&["spool", "list", "--state", "queued", "--json", "--limit", "10"]);
        let process = Running::start(command.stdout(Stdio::null()));
        Self { process, started: Instant::now(), source_ref: String::new() }
    }

    fn has_ended(&mut self) -> bool {
        self.process.child().try_wait().unwrap().is_some()
    }
}

#[tokio::test]
async fn everything_at_once_loses_nothing() {
    if is_only_for_files("its subject is the spool") {
        return;
    }
    let duration = Duration::from_secs(setting("LOCAL_VAULT_SOAK_SECONDS").unwrap_or(20));
    let mut random = random();
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("stream-0", "first", "{}");
    let (mut acknowledged, mut enqueued, mut listed) =
        (Acknowledged::new(), Latencies::default(), Latencies::default());
    let (mut kills, mut turns) = (0, 0);
    let mut producers: Vec<Slot> = (0..4).map(|producer| Slot::enqueue(&vault, producer, 0)).collect();
    let (mut numbers, mut list, mut relay) = ([0; 4], Slot::list(&vault), start(&vault));

    let started = Instant::now();
    while started.elapsed() < duration {
        for producer in 0..producers.len() {
            let slot = &mut producers[producer];
            let was_killed = !slot.has_ended() && random.below(2000) == 0;
            if was_killed {
                slot.process.child().kill().unwrap();
                kills += 1;
            }
            if was_killed || slot.has_ended() {
                numbers[producer] += 1;
                let next = Slot::enqueue(&vault, producer, numbers[producer]);
                let Slot { process, started, source_ref } = std::mem::replace(slot, next);
                let took = started.elapsed();
                let output = process.wait();
                assert!(was_killed || output.status.success(), "{}", said(&output));
                if let Some(told) = lines(&output.stdout).first() {
                    acknowledged.insert(source_ref, told.get_str("eventId").unwrap().to_owned());
                    enqueued.0.push(took);
                }
            }
        }
        if list.has_ended() {
            let Slot { process, started, .. } = std::mem::replace(&mut list, Slot::list(&vault));
            let took = started.elapsed();
            let output = process.wait();
            assert!(output.status.success(), "{}", said(&output));
            listed.0.push(took);
        }
        // About once or twice a second each.
        if random.below(100) == 0 {
            relay.child().kill().unwrap();
            relay.wait();
            kills += 1;
            relay = start(&vault);
        }
        if random.below(100) == 0 {
            let mode = BEHAVIOURS[usize::try_from(random.below(BEHAVIOURS.len() as u64)).unwrap()];
            sandbox.behave(mode, Some(1 + u32::try_from(random.below(3)).unwrap())).await;
            // An outage ends sooner than its probe.
            vault.succeed(&["relay", "resume"]);
            turns += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
    relay.child().kill().unwrap();
    relay.wait();
    for slot in producers {
        let output = slot.process.wait();
        assert!(output.status.success(), "{}", said(&output));
    }
    sandbox.behave("ok", None).await;
    send_all(&vault).await;
    println!("{duration:?}: {kills} kills, {turns} turns of the receiver");
    enqueued.print("enqueue-json");
    listed.print("spool list");
    // So that the last relay has something to do.
    vault.enqueue("stream-0", "last", "{}");
    nothing_is_lost(&vault, &sandbox, &acknowledged).await;
}

/// What waits for its next send is sent when it is due; what was judged against too often is sent again.
async fn send_all(vault: &Vault) {
    let control = SpoolControl::open(&vault.spool(), std::sync::Arc::new(SystemClock)).unwrap();
    for _ in 0..20 {
        for event in vault.events().into_iter().filter(|event| event.state == State::Dead) {
            control.retry(event.event_id).await.unwrap();
        }
        vault.succeed(&["relay", "resume"]);
        if vault.code(&["relay", "drain"]) == Some(0) {
            return;
        }
    }
    panic!("not all of it can be sent: {:?}", vault.destination());
}
