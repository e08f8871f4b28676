//! A relay that is killed at random moments, while others enqueue.

#![allow(clippy::print_stdout)] // how many, and what brings them back

use std::collections::{HashMap, HashSet};
use std::env;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use local_vault::protocol::json::{Object, Value};
use local_vault::spool::State;

use super::delivery::envelope;
use super::place::sandbox;
use super::process::{Running, Vault, lines};
use super::support::{Sandbox, wait_until};

/// Reads a number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// How many kills, and when they fall.
pub(crate) fn rounds() -> (u64, Random) {
    let rounds = setting("LOCAL_VAULT_KILL_ROUNDS").unwrap_or(50);
    println!("{rounds} kills");
    (rounds, random())
}

/// Numbers of this run.
pub(crate) fn random() -> Random {
    let seed = setting("LOCAL_VAULT_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    println!("LOCAL_VAULT_KILL_SEED={seed}");
    Random(seed)
}

/// Numbers that a printed seed brings back (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What the enqueuing processes were told is spooled: the event ids by source_ref.
pub(crate) type Acknowledged = HashMap<String, String>;

#[tokio::test]
async fn a_killed_relay_loses_nothing_and_repeats_nothing_differently() {
    let (rounds, mut random) = rounds();
    // Some answers never come, or break off after the event was recorded, so that a kill finds sends in flight.
    let plan = ["--behave", "stall-body:1", "--behave", "ok:3", "--behave", "stall:1", "--behave", "ok:3"];
    let sandbox = sandbox(&plan.repeat(usize::try_from(rounds).unwrap()));
    let vault = Vault::new(&sandbox);
    let (mut acknowledged, mut mended) = (Acknowledged::new(), 0);
    for round in 0..rounds {
        let mut relay = start(&vault);
        let enqueuing = enqueue(&vault, round);
        if round.is_multiple_of(2) {
            // Half of the kills find a relay that has begun to send, the other half any relay.
            let before = sandbox.record().len();
            // One that SoftHSM refused has ended by itself.
            let mut has_ended = || relay.child().try_wait().unwrap().is_some();
            wait_until(|| (sandbox.record().len() > before || has_ended()).then_some(()));
        }
        kill(relay, Duration::from_millis(random.below(60)));
        acknowledged.extend(acknowledgements(enqueuing, round));
        mended += usize::from(vault.commands.device.mend(vault.folder()));
    }
    sandbox.behave("ok", None).await;
    nothing_is_lost(&vault, &sandbox, &acknowledged).await;
    println!("{mended} tokens mended");
}

/// What was acknowledged is in the spool, and a relay that nobody kills brings all of it to its receipt.
pub(crate) async fn nothing_is_lost(vault: &Vault, sandbox: &Sandbox, acknowledged: &Acknowledged) {
    let relay = start(vault);
    let settled = || vault.events().iter().all(|event| event.state == State::Receipted);
    wait_until(|| settled().then_some(()));
    assert_eq!(relay.terminate().status.code(), Some(0));

    let events: HashMap<_, _> = vault.events().into_iter().map(|e| (e.source_ref.clone(), e)).collect();
    for (source_ref, event_id) in acknowledged {
        assert_eq!(events[source_ref].event_id.to_string(), *event_id, "an acknowledged event is lost");
    }
    let (sends, repeated) = check_record(sandbox, &events.keys().cloned().collect());
    assert_eq!(sandbox.count("events").await, i64::try_from(events.len()).unwrap());
    let (acknowledged, spooled) = (acknowledged.len(), events.len());
    println!(
        "{acknowledged} events acknowledged, {spooled} spooled, {sends} sends, {repeated} of them again; none lost"
    );
}

pub(crate) fn start(vault: &Vault) -> Running {
    let mut command = vault.command(&["drain-loop", "--idle-sleep-seconds", "0.001"]);
    // Nobody reads what it prints, and a full pipe would hold it up.
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Begins to enqueue, each event from a process of its own.
pub(crate) fn enqueue(vault: &Vault, round: u64) -> Vec<(String, Running)> {
    let spawn = |n: u64| {
        let (stream, source_ref) = (format!("stream-{}", n % 3), format!("{round}/{n}"));
        let file = vault.folder().join(format!("{round}-{n}.json"));
        std::fs::write(&file, format!(r#"{{"round":{round},"n":{n}}}"#)).unwrap();
        let arguments = ["enqueue-json", "--stream-id", &stream, "--source-ref", &source_ref, "--payload-file"];
        let process = Running::start(vault.enqueuer(&arguments).arg(&file));
        (source_ref, process)
    };
    (0..6).map(spawn).collect()
}

/// When the kill falls is the subject of the test; nothing is expected to have happened by then.
fn kill(mut relay: Running, delay: Duration) {
    thread::sleep(delay);
    relay.child().kill().unwrap();
    relay.wait();
}

/// What the enqueuing processes were told. In two of three rounds half of them are killed too: what they were not told
/// of may be there or not.
pub(crate) fn acknowledgements(mut enqueuing: Vec<(String, Running)>, round: u64) -> Acknowledged {
    if !round.is_multiple_of(3) {
        enqueuing[3..].iter_mut().for_each(|(_, process)| process.child().kill().unwrap());
    }
    let told = enqueuing.into_iter().filter_map(|(source_ref, process)| {
        let output = process.wait();
        let line = lines(&output.stdout).into_iter().next()?;
        Some((source_ref, line.get_str("eventId").unwrap().to_owned()))
    });
    told.collect()
}

/// One send as the receiver saw it.
struct Send {
    attempt: i64,
    envelope: Object,
    payload: String,
}

/// Every repeated send has the same event id and payload bytes and a higher attempt, and each event was recorded
/// upstream exactly once. Gives how many sends there were, and how many of them were repeated.
fn check_record(sandbox: &Sandbox, spooled: &HashSet<String>) -> (usize, usize) {
    let mut sent: HashMap<String, Vec<Send>> = HashMap::new();
    let requests = sandbox.recorded_events();
    for request in &requests {
        let body = request.get_str("body").unwrap();
        let payload = body.split_once(r#""payload":"#).unwrap().1.to_owned();
        let envelope = envelope(request);
        let attempt = envelope.get("attempt").and_then(Value::as_i64).unwrap();
        let source_ref = envelope.get_str("source_ref").unwrap().to_owned();
        assert!(spooled.contains(&source_ref), "{source_ref} was sent and is not in the spool");
        sent.entry(source_ref).or_default().push(Send { attempt, envelope, payload });
    }
    sent.values_mut().for_each(|sends| check_sends(sends));
    let new = requests.iter().filter(|request| request.get("answered").and_then(Value::as_i64) == Some(201)).count();
    assert_eq!((sent.len(), new), (spooled.len(), spooled.len()));
    (requests.len(), requests.len() - sent.len())
}

/// All of an envelope but what tells one send of an event from another.
fn fixed(envelope: &Object) -> Object {
    let mut envelope = envelope.clone();
    for name in ["attempt", "signed_at"] {
        envelope.remove(name).unwrap();
    }
    envelope
}

fn check_sends(sends: &mut [Send]) {
    // What a killed relay had sent may be read after what the next one sent.
    sends.sort_by_key(|send| send.attempt);
    for pair in sends.windows(2) {
        let (before, again) = (&pair[0].envelope, &pair[1].envelope);
        assert_eq!(fixed(again), fixed(before));
        assert_eq!(pair[0].payload, pair[1].payload, "{before:?}");
        assert!(pair[1].attempt > pair[0].attempt, "{before:?}");
        assert!(again.get_str("signed_at") >= before.get_str("signed_at"), "{before:?}");
    }
}
