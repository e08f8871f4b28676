use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::{Desk, OwnKey, Snapshot, WitnessError};
use crate::facts::{Clock, Digest};
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::Rules;

/// So long a signed identity is given again: whoever asks all the time costs no signature each time.
const KEPT: Duration = Duration::from_secs(1);

/// What a witness goes by, beside its anchor: relying parties see by its digest that it changed.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What holds beyond the published rules.
    pub rules: Rules,
    /// The keys of other witnesses of the same streams.
    pub peers: Vec<PublicKey>,
    /// How many witnesses relying parties ask for, us among them.
    pub quorum: usize,
}

/// What a witness says of itself, signed, to whoever may ask.
#[derive(Debug)]
pub(super) struct Identity {
    witness_id: String,
    policy: Policy,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Instant, Snapshot, Object)>>,
}

impl Identity {
    pub(super) fn new(witness_id: String, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self { witness_id, policy, clock, last: Mutex::new(None) }
    }

    /// Whoever asks while it is being signed waits for that, and asks for no other signature.
    pub(super) async fn signed(&self, desk: &Desk) -> Result<Object, WitnessError> {
        let mut last = self.last.lock().await;
        let standing = desk.standing();
        if let Some((at, then, signed)) = &*last
            && at.elapsed() < KEPT
            && (&then.keys, &then.stopped) == (&standing.keys, &standing.stopped)
        {
            return Ok(signed.clone());
        }
        let signed = desk.sign_document(&self.document(&standing)).await?;
        *last = Some((Instant::now(), standing, signed.clone()));
        Ok(signed)
    }

    fn document(&self, standing: &Snapshot) -> Object {
        let anchor = Object::new()
            .with("kind", anchor_kind(standing))
            .with("count", standing.anchored)
            .with("window_seconds", standing.anchor_interval.as_secs_f64().ceil() as u64);
        let records = Object::new()
            .with("count", standing.floor.count)
            .with("root", standing.floor.root.to_string())
            .with("authenticated", standing.is_authenticated);
        Object::new()
            .with("kind", "identity")
            .with("witness_id", self.witness_id.as_str())
            .with("keys", standing.keys.iter().map(own_key).collect::<Vec<Object>>())
            .with("algorithms", vec!["ed25519"])
            .with("anchor", anchor)
            .with("records", records)
            .with("policy_digest", self.policy.digest(standing).to_string())
            .with("stopped", standing.stopped.clone())
            .with("at", self.clock.now().to_string())
    }
}

impl Policy {
    /// The SHA-256 of the canonical form of: `anchor` (its kind), `anchor_interval_ms`, `first_use` (`accept` or
    /// `refuse`), `longest_jump` (a number or null), `peers` (their public keys in hex, sorted) and `quorum`.
    fn digest(&self, standing: &Snapshot) -> Digest {
        let mut peers: Vec<String> = self.peers.iter().map(PublicKey::to_hex).collect();
        peers.sort_unstable();
        let policy = Object::new()
            .with("anchor", anchor_kind(standing))
            .with("anchor_interval_ms", standing.anchor_interval.as_millis() as u64)
            .with("first_use", if self.rules.first_use { "accept" } else { "refuse" })
            .with("longest_jump", self.rules.longest_jump.map_or(Value::Null, Value::from))
            .with("peers", peers)
            .with("quorum", self.quorum);
        Digest::of(&policy.to_canonical())
    }
}

fn anchor_kind(standing: &Snapshot) -> &'static str {
    standing.anchor.map_or("none", |kind| kind.name())
}

fn own_key(key: &OwnKey) -> Object {
    Object::new()
        .with("alg", key.public_key.algorithm().name())
        .with("kid", key.kid.as_str())
        .with("key_epoch", key.kid.as_str())
        .with("public_key_hex", key.public_key.to_hex())
        .with("since", key.since)
}
