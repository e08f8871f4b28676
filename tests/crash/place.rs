use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use local_vault::custody::file::RootKey;
use local_vault::custody::{Purpose, PurposeKey};
use local_vault::facts::{Clock, Digest, Timestamp};
use local_vault::protocol::{PublicKey, Signature};
use local_vault::spool::{
    Answer, ContentId, Event, NewEvent, SignedEnvelope, Spool, SpoolError, SpoolKeys, SpoolReader,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::disk::Files;

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
    folder: TempDir,
    pub(crate) clock: Arc<TestClock>,
}

pub(crate) const SPOOL: &str = "spool.sqlite3";
pub(crate) const WAL: &str = "spool.sqlite3-wal";
/// Beside a spool whose last commit failed.
pub(crate) const DOUBT: &str = "spool.sqlite3.doubt";

impl Place {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    /// With these files, as whoever comes after a crash finds them.
    pub(crate) fn with(files: &Files) -> Self {
        let place = Self::new();
        place.clock.advance(24 * 60 * 60 * 1000);
        for (name, content) in files {
            fs::write(place.folder().join(name), content).unwrap();
        }
        place
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join(SPOOL)
    }

    pub(crate) fn open(&self) -> Result<Spool, SpoolError> {
        let root = RootKey::new(&mut [1; 32]);
        let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
        Spool::open(&self.path(), SpoolKeys { wrapping: Arc::new(root), record }, self.clock.clone())
    }

    pub(crate) fn reader(&self) -> Result<SpoolReader, SpoolError> {
        SpoolReader::open(&self.path())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What a source wants spooled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) stream: String,
    pub(crate) source_ref: String,
    pub(crate) payload: String,
}

impl Offer {
    pub(crate) fn event(&self) -> NewEvent {
        NewEvent {
            stream_id: self.stream.clone(),
            source_ref: self.source_ref.clone(),
            payload: Zeroizing::new(self.payload.clone().into_bytes()),
            content: ContentId::payload(Digest::of(self.payload.as_bytes())),
            allow_ref_reuse: false,
        }
    }
}

/// An answer to the send of `event`.
pub(crate) fn answer(event: &Event) -> Answer {
    // RFC 8032, section 7.1, test 1.
    let public_key = PublicKey::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let sent = SignedEnvelope {
        installation_id: "inst_1".into(),
        attempt: event.attempt,
        signed_at: event.created_at,
        signature: Signature::from_bytes([5; 64]),
        public_key,
    };
    Answer { sent: Some(sent), status: 200, body: body(event), received_at: event.created_at }
}

/// The body of that answer.
pub(crate) fn body(event: &Event) -> Vec<u8> {
    format!("{{\"accepted\":\"{}\"}}", event.source_ref).into_bytes()
}
