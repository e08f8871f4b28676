use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use local_vault::audit::{Audit, AuditConfig, AuditError, Event, Finding, Verified, VerifyError, verify};
use local_vault::custody::file::FileKey;
use local_vault::custody::{CustodyError, ErrorKind, Protection, Purpose, PurposeKey, SharedSigningKey, SigningKey};
use local_vault::facts::SystemClock;
use local_vault::protocol::{Preimage, PublicKey, Signature};
use tempfile::TempDir;

/// Files so short that a few entries fill one.
pub(crate) const SHORT: u64 = 1200;

/// A folder with a log in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The folder of the log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    /// Opens the log with short files and a key that signs.
    pub(crate) fn open(&self) -> Audit {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Audit, AuditError> {
        open(&self.log(), SHORT, Some(record_key(1)))
    }

    pub(crate) fn open_with(&self, key: SharedSigningKey) -> Audit {
        open(&self.log(), SHORT, Some(bind(key))).unwrap()
    }

    pub(crate) fn open_without_key(&self) -> Audit {
        open(&self.log(), SHORT, None).unwrap()
    }
}

pub(crate) fn open(folder: &Path, longest_file: u64, record: Option<PurposeKey>) -> Result<Audit, AuditError> {
    Audit::open(AuditConfig { folder: folder.to_owned(), longest_file, record, clock: Arc::new(SystemClock) })
}

/// The record key with this number.
pub(crate) fn record_key(number: u8) -> PurposeKey {
    bind(Arc::new(FileKey::from_seed([number; 32])))
}

fn bind(key: SharedSigningKey) -> PurposeKey {
    PurposeKey::bind(Purpose::Record, "rec_1", key).unwrap()
}

/// A key that is away, and counts how often it was asked.
#[derive(Debug)]
pub(crate) struct Away {
    key: FileKey,
    kind: ErrorKind,
    pub(crate) asked: AtomicUsize,
}

impl Away {
    pub(crate) fn new(kind: ErrorKind) -> Arc<Self> {
        Arc::new(Self { key: FileKey::from_seed([1; 32]), kind, asked: AtomicUsize::new(0) })
    }
}

impl SigningKey for Away {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    fn sign(&self, _: &Preimage) -> Result<Signature, CustodyError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(CustodyError::new(self.kind, "test", "C_Login", "the device is away", "bring it back"))
    }
}

pub(crate) fn receipted(n: usize) -> Event {
    Event::receipted(&format!("lv_{n}.1"), Some(200))
}

/// One that a signed head follows.
pub(crate) fn privileged() -> Event {
    Event::incident("a test", "this")
}

pub(crate) fn verified(log: &Path) -> Verified {
    verify(log, &[], &[], &mut |_| ()).unwrap()
}

pub(crate) fn finding(log: &Path) -> Finding {
    match verify(log, &[], &[], &mut |_| ()) {
        Err(VerifyError::Found(finding)) => finding,
        other => panic!("{other:?}"),
    }
}

/// The files of a log in order, and its note where `note` says so.
pub(crate) fn files(log: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

/// A log of several files with several heads, written by two at once in turn.
pub(crate) fn sample() -> Place {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    for n in 0..3 {
        one.record_blocking(vec![receipted(n)]).unwrap();
        other.record_blocking(vec![Event::refused(&format!("é{n}"), "dead", "bad-signature", Some(400))]).unwrap();
        if n == 1 {
            assert!(one.sign_head_blocking());
        }
    }
    drop((one, other));
    let seen = verified(&place.log());
    assert!(files(&place.log()).len() >= 3 && seen.heads >= 3, "{seen:?}");
    place
}

/// Another folder with the same log, without the name beside it.
pub(crate) fn copy(place: &Place) -> Place {
    let copied = Place::new();
    fs::create_dir(copied.log()).unwrap();
    for entry in fs::read_dir(place.log()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copied.log().join(path.file_name().unwrap())).unwrap();
    }
    copied
}
