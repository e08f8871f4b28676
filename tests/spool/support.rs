use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use local_vault::facts::{Clock, Digest, Timestamp};
use local_vault::protocol::{PublicKey, Signature};
use local_vault::spool::{
    Answer, ContentId, Event, Filter, Lease, Leased, NewEvent, Park, Settlement, SignedEnvelope, Spool, SpoolError,
    SpoolReader, Totals,
};
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::custody::spool_keys;

/// A clock that the test sets.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A folder, a clock, and the place of a spool in that folder.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("spool.sqlite3")
    }

    /// What a process that ends now leaves behind, in another folder: the clock goes on.
    pub(crate) fn copied(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap(), clock: self.clock.clone() };
        for name in ["spool.sqlite3", "spool.sqlite3-wal"] {
            std::fs::copy(self.folder.path().join(name), copy.folder.path().join(name)).unwrap();
        }
        copy
    }

    pub(crate) fn open(&self) -> Spool {
        self.try_open(1).unwrap()
    }

    /// Opens with the keys that have this number.
    pub(crate) fn try_open(&self, keys: u8) -> Result<Spool, SpoolError> {
        Spool::open(&self.path(), spool_keys(keys), self.clock.clone())
    }

    pub(crate) fn reader(&self) -> SpoolReader {
        SpoolReader::open(&self.path()).unwrap()
    }

    /// The file as somebody with the disk in hand has it.
    pub(crate) fn raw(&self) -> Connection {
        let db = Connection::open(self.path()).unwrap();
        db.pragma_update(None, "foreign_keys", false).unwrap();
        db
    }

    /// Every event, in order. Checks that the totals are what counting gives.
    pub(crate) fn events(&self) -> Vec<Event> {
        let reader = self.reader();
        let events = reader.list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap();
        for Totals { state, events: count, bytes, .. } in reader.totals().unwrap() {
            let here: Vec<_> = events.iter().filter(|event| event.state == state).collect();
            let counted = (here.len() as u64, here.iter().map(|event| event.payload_size).sum());
            assert_eq!((count, bytes), counted, "the totals of {}", state.name());
        }
        events
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// An event whose content is `payload`.
pub(crate) fn event(stream: &str, source_ref: &str, payload: &str) -> NewEvent {
    NewEvent {
        stream_id: stream.to_owned(),
        source_ref: source_ref.to_owned(),
        payload: Zeroizing::new(payload.as_bytes().to_vec()),
        content: ContentId::payload(Digest::of(payload.as_bytes())),
        allow_ref_reuse: false,
    }
}

/// Spools events of one stream, each with a payload of its own.
pub(crate) async fn fill(spool: &Spool, stream: &str, refs: &[&str]) {
    for source_ref in refs {
        spool.enqueue(event(stream, source_ref, &format!("{{\"of\":\"{source_ref}\"}}"))).await.unwrap();
    }
}

/// A turn that settles nothing.
pub(crate) async fn lease(spool: &Spool, room: usize) -> Lease {
    spool.turn(Vec::new(), room).await.unwrap()
}

/// The one event that a turn must give.
pub(crate) async fn lease_one(spool: &Spool) -> Leased {
    let mut lease = lease(spool, 1).await;
    lease.leased.pop().expect("an event to send")
}

pub(crate) async fn settle(spool: &Spool, leased: &Leased, settlement: Settlement) {
    spool.turn(vec![(leased.event.seq, settlement)], 0).await.unwrap();
}

/// The references of what was leased.
pub(crate) fn refs(lease: &Lease) -> Vec<&str> {
    lease.leased.iter().map(|leased| leased.event.source_ref.as_str()).collect()
}

/// An answer to the send of `event`.
pub(crate) fn answer(event: &Event) -> Answer {
    let sent = SignedEnvelope {
        installation_id: "inst_1".into(),
        attempt: event.attempt,
        signed_at: event.created_at,
        signature: Signature::from_bytes([5; 64]),
        public_key: public_key(),
    };
    Answer { sent: Some(sent), status: 200, body: b"{\"accepted\":true}".to_vec(), received_at: event.created_at }
}

fn public_key() -> PublicKey {
    // RFC 8032, section 7.1, test 1.
    PublicKey::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap()
}

pub(crate) fn receipted(leased: &Leased) -> Settlement {
    Settlement::Receipted(answer(&leased.event))
}

pub(crate) fn judged(retry_at: Option<Timestamp>) -> Settlement {
    Settlement::Judged { error: "ack-not-accepted".into(), retry_at, answer: None }
}

pub(crate) fn outage(until: Timestamp) -> Settlement {
    Settlement::Unjudged { error: "http-503".into(), park: Park::Until(until) }
}

/// The bytes of the spool and of what lies beside it, by name.
pub(crate) fn bytes_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Their hashes, to compare.
pub(crate) fn hashes_in(folder: &Path) -> Vec<(String, Digest)> {
    let mut hashes: Vec<_> = bytes_in(folder).into_iter().map(|(name, bytes)| (name, Digest::of(&bytes))).collect();
    // Taking a lock is no change.
    hashes.retain(|(name, _)| !name.ends_with("-lock"));
    hashes
}
