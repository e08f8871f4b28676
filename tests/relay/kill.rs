//! A relay that is killed at random moments, while others enqueue.

use std::collections::{HashMap, HashSet};
use std::env;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use local_vault::protocol::json::{self, Object, Value};
use local_vault::spool::State;

use super::place::sandbox;
use super::process::{Running, Vault, lines};
use super::support::{Sandbox, wait_until};

/// Reads a number from the environment.
fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Numbers that a printed seed brings back (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What the enqueuing processes were told is spooled: the event ids by source_ref.
type Acknowledged = HashMap<String, String>;

#[tokio::test]
async fn a_killed_relay_loses_nothing_and_repeats_nothing_differently() {
    let rounds = setting("LOCAL_VAULT_KILL_ROUNDS").unwrap_or(20);
    let seed = setting("LOCAL_VAULT_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    println!("{rounds} kills with LOCAL_VAULT_KILL_SEED={seed}");
    let mut random = Random(seed);
    // Some answers never come, or break off after the event was recorded, so that a kill finds sends in flight.
    let plan = ["--behave", "stall-body:1", "--behave", "ok:3", "--behave", "stall:1", "--behave", "ok:3"];
    let sandbox = sandbox(&plan.repeat(usize::try_from(rounds).unwrap()));
    let vault = Vault::new(&sandbox);
    let mut acknowledged = Acknowledged::new();
    for round in 0..rounds {
        let relay = start(&vault);
        enqueue_and_kill(&vault, relay, round, random.below(120), &mut acknowledged);
    }
    sandbox.behave("ok", None).await;
    let relay = start(&vault);
    let settled = || vault.events().iter().all(|event| event.state == State::Receipted);
    wait_until(|| settled().then_some(()));
    assert_eq!(relay.terminate().status.code(), Some(0));

    let events: HashMap<_, _> = vault.events().into_iter().map(|e| (e.source_ref.clone(), e)).collect();
    for (source_ref, event_id) in &acknowledged {
        assert_eq!(events[source_ref].event_id.to_string(), *event_id, "an acknowledged event is lost");
    }
    let (sends, repeated) = check_record(&sandbox, &events.keys().cloned().collect());
    assert_eq!(sandbox.count("events").await, i64::try_from(events.len()).unwrap());
    let (acknowledged, spooled) = (acknowledged.len(), events.len());
    println!("{acknowledged} events acknowledged, {spooled} spooled, {sends} sends, {repeated} of them again; none lost");
}

fn start(vault: &Vault) -> Running {
    let mut command = vault.command(&["drain-loop", "--idle-sleep-seconds", "0.001"]);
    // Nobody reads what it prints, and a full pipe would hold it up.
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Enqueues from processes of their own, and kills the relay after some milliseconds. Every other round kills an
/// enqueuing process too: what it was not told of may be there or not.
fn enqueue_and_kill(vault: &Vault, mut relay: Running, round: u64, delay: u64, acknowledged: &mut Acknowledged) {
    let spawn = |n: u64| {
        let (stream, source_ref) = (format!("stream-{}", n % 3), format!("{round}/{n}"));
        let file = vault.folder().join(format!("{round}-{n}.json"));
        std::fs::write(&file, format!(r#"{{"round":{round},"n":{n}}}"#)).unwrap();
        let arguments = ["enqueue-json", "--stream-id", &stream, "--source-ref", &source_ref, "--payload-file"];
        let process = Running::start(vault.enqueuer(&arguments).arg(&file));
        (source_ref, process)
    };
    let mut enqueuing: Vec<_> = (0..6).map(spawn).collect();
    // When the kill falls is the subject of the test; nothing is expected to have happened by then.
    thread::sleep(Duration::from_millis(delay));
    relay.child().kill().unwrap();
    if round % 2 == 1 {
        enqueuing[5].1.child().kill().unwrap();
    }
    for (source_ref, process) in enqueuing {
        let output = process.wait();
        if let Some(line) = lines(&output.stdout).first() {
            acknowledged.insert(source_ref, line.get_str("eventId").unwrap().to_owned());
        }
    }
    relay.wait();
}

/// Every repeated send has the same event id and payload bytes and a higher attempt, and each event was recorded
/// upstream exactly once. Gives how many sends there were, and how many of them were repeated.
fn check_record(sandbox: &Sandbox, spooled: &HashSet<String>) -> (usize, usize) {
    let mut sent: HashMap<String, (Object, String)> = HashMap::new();
    let (mut repeated, mut new) = (0, 0);
    let requests = sandbox.recorded_events();
    for request in &requests {
        new += usize::from(request.get("answered").and_then(Value::as_i64) == Some(201));
        let body = request.get_str("body").unwrap();
        let payload = body.split_once(r#""payload":"#).unwrap().1.to_owned();
        let envelope = json::parse(body.as_bytes()).unwrap().get_object("envelope").unwrap().clone();
        let source_ref = envelope.get_str("source_ref").unwrap().to_owned();
        assert!(spooled.contains(&source_ref), "{source_ref} was sent and is not in the spool");
        if let Some((before, same)) = sent.insert(source_ref.clone(), (envelope.clone(), payload.clone())) {
            repeated += 1;
            for name in ["event_id", "source_ref", "stream_id", "payload_sha256", "created_at"] {
                assert_eq!(envelope.get(name), before.get(name), "{source_ref}");
            }
            assert_eq!(payload, same, "{source_ref}");
            let attempt = |envelope: &Object| envelope.get("attempt").and_then(Value::as_i64).unwrap();
            assert!(attempt(&envelope) > attempt(&before), "{source_ref}");
        }
    }
    assert_eq!((sent.len(), new), (spooled.len(), spooled.len()));
    (requests.len(), repeated)
}
