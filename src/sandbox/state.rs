use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::behaviour::{Mode, Path, Plans, Step};
use super::record::Record;
use super::trust::Trust;
use crate::facts::{Digest, Timestamp, random_id};
use crate::protocol::PublicKey;
use crate::protocol::envelope::{Envelope, upstream_event_id};
use crate::protocol::json::{Object, Value};

/// What all connections share.
pub(super) struct Shared {
    pub(super) record: Option<Record>,
    state: Mutex<State>,
}

impl Shared {
    pub(super) const fn new(state: State, record: Option<Record>) -> Self {
        Self { record, state: Mutex::new(state) }
    }

    /// The state, for as long as a look-up takes: nothing is parsed, verified or written under this lock.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete when it is made, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(trust: Vec<Trust>) -> HashMap<String, Arc<PublicKey>> {
    trust.into_iter().map(|trust| (trust.installation_id, Arc::new(trust.key))).collect()
}

/// What the sandbox remembers.
pub(super) struct State {
    pub(super) counts: Counts,
    pub(super) plans: Plans,
    /// What was put into the feed: the first is item 1.
    pub(super) feed: Vec<Value>,
    installations: HashMap<String, Arc<PublicKey>>,
    /// The keys of their witnesses, where these are others.
    witnesses: HashMap<String, Arc<PublicKey>>,
    revoked: HashSet<String>,
    tokens: HashSet<String>,
    /// By the hash of the upstream id: a long drain then leaves no small pieces of memory behind between those that
    /// come and go.
    events: HashMap<Digest, Recorded>,
    streams: HashSet<Arc<str>>,
    statements: HashSet<(String, Digest)>,
}

impl State {
    pub(super) fn new(trust: Vec<Trust>, witnesses: Vec<Trust>, tokens: Vec<String>, steps: Vec<Step>) -> Self {
        Self {
            counts: Counts::default(),
            plans: Plans::new(steps),
            feed: Vec::new(),
            installations: keys(trust),
            witnesses: keys(witnesses),
            revoked: HashSet::new(),
            tokens: tokens.into_iter().collect(),
            events: HashMap::new(),
            streams: HashSet::new(),
            statements: HashSet::new(),
        }
    }

    /// The mode that is the turn of a request on this path.
    pub(super) fn turn(&mut self, path: Path) -> Mode {
        let mode = self.plans.on(path).next();
        self.counts.misbehaved += u64::from(mode != Mode::Ok);
        mode
    }

    /// The key of a trusted installation.
    pub(super) fn key(&self, installation: &str) -> Option<Arc<PublicKey>> {
        self.installations.get(installation).cloned()
    }

    /// The key that such an installation witnesses with.
    pub(super) fn witness_key(&self, installation: &str) -> Option<Arc<PublicKey>> {
        self.witnesses.get(installation).cloned().or_else(|| self.key(installation))
    }

    /// Uses `token` up and trusts `key` from now on. `None` where the token is unknown or used.
    pub(super) fn enroll(&mut self, token: &str, key: PublicKey) -> Option<String> {
        self.tokens.take(token)?;
        let installation = random_id("ins_");
        self.installations.insert(installation.clone(), Arc::new(key));
        Some(installation)
    }

    pub(super) fn revoke(&mut self, installation: &str) {
        self.revoked.insert(installation.to_owned());
    }

    pub(super) fn is_revoked(&self, installation: &str) -> bool {
        self.revoked.contains(installation)
    }

    /// Lifts every revocation.
    pub(super) fn reinstate(&mut self) {
        self.revoked.clear();
    }

    /// Records a verified event, unless its upstream id is taken.
    pub(super) fn record(&mut self, envelope: &Envelope, now: Timestamp) -> Recording {
        let upstream_id = upstream_event_id(&envelope.installation_id, &envelope.source_ref);
        let upstream_id = Digest::of(upstream_id.as_bytes());
        let Some(held) = self.events.get(&upstream_id).cloned() else {
            let sequence = self.events.len() as u64 + 1;
            let (payload_sha256, stream_id) = (envelope.payload_sha256, self.stream(&envelope.stream_id));
            let recorded = Recorded { payload_sha256, stream_id, sequence, received_at: now };
            self.events.insert(upstream_id, recorded.clone());
            self.counts.events += 1;
            return Recording::New(recorded);
        };
        if held.payload_sha256 == envelope.payload_sha256 && *held.stream_id == *envelope.stream_id {
            self.counts.replays += 1;
            Recording::Replay(held)
        } else {
            self.counts.conflicts += 1;
            Recording::Conflict(held)
        }
    }

    /// A stream's name, which its events share.
    fn stream(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.streams.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.streams.insert(name.clone());
        name
    }

    /// Keeps the hash of a verified statement; false where it was here before.
    pub(super) fn keep(&mut self, installation: &str, statement: Digest) -> bool {
        self.statements.insert((installation.to_owned(), statement))
    }
}

/// What is kept of an event: as much as its receipt is made of, since a drain may bring a hundred thousand.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) payload_sha256: Digest,
    pub(super) stream_id: Arc<str>,
    /// The place in the order of recording, over all streams.
    pub(super) sequence: u64,
    pub(super) received_at: Timestamp,
}

/// What the state says to a verified event.
pub(super) enum Recording {
    /// Another content is held under its upstream id.
    Conflict(Recorded),
    /// It is recorded now.
    New(Recorded),
    /// The same content was recorded before.
    Replay(Recorded),
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// Connections that were accepted, whether or not a request followed.
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) events: u64,
    pub(super) replays: u64,
    pub(super) conflicts: u64,
    /// Requests that were checked and refused, conflicts apart.
    pub(super) rejected: u64,
    /// Requests that were answered in a mode other than `ok`.
    pub(super) misbehaved: u64,
    /// Requests that followed a redirect.
    pub(super) trapped: u64,
    pub(super) enrollments: u64,
    pub(super) attestations: u64,
    pub(super) checkpoints: u64,
    /// Items of the feed that were given out, each time.
    pub(super) fed: u64,
}

impl Counts {
    pub(super) fn to_object(self) -> Object {
        Object::new()
            .with("connections", self.connections)
            .with("requests", self.requests)
            .with("events", self.events)
            .with("replays", self.replays)
            .with("conflicts", self.conflicts)
            .with("rejected", self.rejected)
            .with("misbehaved", self.misbehaved)
            .with("trapped", self.trapped)
            .with("enrollments", self.enrollments)
            .with("attestations", self.attestations)
            .with("checkpoints", self.checkpoints)
            .with("fed", self.fed)
    }
}
