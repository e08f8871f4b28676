//! I9: a key is asked only for what is in the log already, and not at all where the log takes nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use local_vault::audit::Audit;
use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::{
    CustodyError, DataKey, ErrorKind, Protection, Purpose, PurposeKey, RecordedWrappingKey, SignError, Signer,
    SignerConfig, SigningKey, WrappedKey, WrappingKey,
};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::audit::Head;
use local_vault::protocol::{Algorithm, Preimage, PublicKey, Signature};

use super::log::Lines;
use super::support::{Away, Place, files, verified};

/// Something that may be signed with a record key.
fn preimage() -> Preimage {
    let (log_id, kid) = ("log_1".into(), "rec_2".into());
    let signed_at = Timestamp::from_millis(0);
    Head { log_id, seq: 1, hash: Digest::of(b"entry"), signed_at, alg: Algorithm::Ed25519, kid }.preimage()
}

/// A key that looks into the log when it is asked, and keeps the kinds and operations of what is there.
#[derive(Debug)]
struct Looking<K> {
    key: K,
    log: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
}

impl<K> Looking<K> {
    fn new(key: K, place: &Place) -> (Self, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        (Self { key, log: place.log(), seen: seen.clone() }, seen)
    }

    fn look(&self) {
        let used = Lines::read(&self.log).entries().into_iter().filter(|entry| entry.kind == "KeyUsed");
        let used = used.map(|entry| {
            let text = |member| entry.object.get_str(member).unwrap_or("-").to_owned();
            format!("{} {} {}", text("operation"), text("purpose"), text("request"))
        });
        *self.seen.lock().unwrap() = used.collect();
    }
}

impl SigningKey for Looking<FileKey> {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        self.look();
        self.key.sign(preimage)
    }
}

impl WrappingKey for Looking<RootKey> {
    fn key_id(&self) -> &str {
        self.key.key_id()
    }

    fn scheme(&self) -> &'static str {
        self.key.scheme()
    }

    fn protection(&self) -> Protection {
        self.key.protection()
    }

    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        self.look();
        self.key.generate_data_key(context)
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        self.look();
        self.key.unwrap_data_key(wrapped, context)
    }
}

fn taken(seen: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut seen.lock().unwrap())
}

fn recorded(key: impl SigningKey + 'static, audit: &Arc<Audit>) -> PurposeKey {
    PurposeKey::bind(Purpose::Record, "rec_2", Arc::new(key)).unwrap().recorded(audit.clone())
}

/// A log that takes nothing any more.
fn broken(place: &Place) -> Arc<Audit> {
    let audit = Arc::new(place.open());
    fs::remove_file(files(&place.log()).pop().unwrap()).unwrap();
    audit
}

#[test]
fn a_signature_is_in_the_log_before_the_key_is_asked() {
    let place = Place::new();
    let audit = Arc::new(place.open());
    let (key, seen) = Looking::new(FileKey::from_seed([2; 32]), &place);
    recorded(key, &audit).sign(&preimage()).unwrap();
    assert_eq!(taken(&seen), ["sign record -"]);
    let entry = Lines::read(&place.log()).entry(2);
    assert_eq!(entry.object.get_str("hash"), Some(preimage().hash().to_string().as_str()));
    assert_eq!(entry.object.get_str("kid"), Some("rec_2"));
}

#[tokio::test]
async fn a_signature_on_behalf_of_a_request_is_in_the_log_before_the_key_is_asked() {
    let place = Place::new();
    let audit = Arc::new(place.open());
    let (key, seen) = Looking::new(FileKey::from_seed([2; 32]), &place);
    let signer = Signer::spawn(recorded(key, &audit), SignerConfig::default());
    signer.sign(preimage(), "lv_1.1").await.unwrap();
    assert_eq!(taken(&seen), ["sign record lv_1.1"]);
}

#[test]
fn what_a_wrapping_key_does_is_in_the_log_before_it_is_asked() {
    let place = Place::new();
    let audit = Arc::new(place.open());
    let (key, seen) = Looking::new(RootKey::new(&mut [3; 32]), &place);
    let key = RecordedWrappingKey::new(Arc::new(key), audit.clone());
    let (wrapped, _) = key.generate_data_key(b"a").unwrap();
    assert_eq!(taken(&seen), ["make-data-key wrapping -"]);
    key.unwrap_data_key(&wrapped, b"a").unwrap();
    assert_eq!(taken(&seen), ["make-data-key wrapping -", "open-data-key wrapping -"]);
    assert!(key.unwrap_data_key(&wrapped, b"b").is_err());
    audit.close();
    let failed = Lines::read(&place.log()).entries().into_iter().filter(|entry| entry.kind == "KeyFailed").count();
    assert_eq!(failed, 1);
    verified(&place.log());
}

#[tokio::test]
async fn no_key_is_asked_where_the_log_takes_nothing() {
    let place = Place::new();
    let audit = broken(&place);
    let key = Away::new(ErrorKind::Away);
    let purpose_key = PurposeKey::bind(Purpose::Record, "rec_2", key.clone()).unwrap().recorded(audit.clone());
    let refused = purpose_key.sign(&preimage()).unwrap_err();
    assert_eq!((refused.backend, refused.kind), ("audit", ErrorKind::Broken));
    let signer = Signer::spawn(purpose_key, SignerConfig::default());
    let refused = signer.sign(preimage(), "lv_1.1").await.unwrap_err();
    assert!(matches!(refused, SignError::Unrecorded(_)), "{refused:?}");
    assert_eq!(key.asked.load(std::sync::atomic::Ordering::Relaxed), 0);

    let (key, seen) = Looking::new(RootKey::new(&mut [3; 32]), &place);
    seen.lock().unwrap().push("not asked".into());
    let key = RecordedWrappingKey::new(Arc::new(key), audit);
    assert!(key.generate_data_key(b"a").is_err());
    assert!(key.unwrap_data_key(&WrappedKey(vec![1]), b"a").is_err());
    assert_eq!(taken(&seen), ["not asked"]);
}

#[tokio::test]
async fn a_key_that_fails_is_no_failure_of_the_log() {
    let place = Place::new();
    let audit = Arc::new(place.open());
    let key = PurposeKey::bind(Purpose::Record, "rec_2", Away::new(ErrorKind::Refused)).unwrap();
    let signer = Signer::spawn(key.recorded(audit.clone()), SignerConfig::default());
    assert!(matches!(signer.sign(preimage(), "lv_1.1").await, Err(SignError::Custody(_))));
    assert_eq!(audit.failure(), None);
    tokio::task::spawn_blocking(move || audit.close()).await.unwrap();
    let entries = Lines::read(&place.log()).entries();
    let refused = entries.iter().find(|entry| entry.kind == "PinRefused").unwrap();
    assert_eq!(refused.object.get_str("request"), Some("lv_1.1"));
}
