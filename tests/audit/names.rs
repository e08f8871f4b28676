//! The log has names, numbers and hashes, and never what they stand for.

use std::fs;
use std::sync::Arc;

use local_vault::audit::{Event, Severity, severity};
use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::{Purpose, PurposeKey, RecordedWrappingKey, WrappingKey as _};
use local_vault::facts::EventId;
use local_vault::protocol::json::Object;
use local_vault::protocol::{Domain, Preimage};

use super::log::Lines;
use super::support::{Place, files, finding, receipted, sample, verified};

const SECRET: &str = "a-payload-that-nobody-may-read";

fn assert_untold(text: &[u8]) {
    let hex = hex::encode(SECRET);
    for secret in [SECRET, &hex] {
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn nothing_that_is_signed_or_wrapped_is_in_the_log() {
    let place = Place::new();
    let audit = Arc::new(place.open());
    let key = PurposeKey::bind(Purpose::Source, "src_1", Arc::new(FileKey::from_seed([2; 32]))).unwrap();
    let preimage = Preimage::new(Domain::Source, &Object::new().with("payload", SECRET));
    key.recorded(audit.clone()).sign(&preimage).unwrap();
    let wrapping = RecordedWrappingKey::new(Arc::new(RootKey::new(&mut [3; 32])), audit.clone());
    let (wrapped, _) = wrapping.generate_data_key(SECRET.as_bytes()).unwrap();
    wrapping.unwrap_data_key(&wrapped, SECRET.as_bytes()).unwrap();
    audit.close();
    for path in files(&place.log()) {
        assert_untold(&fs::read(path).unwrap());
    }
    assert_eq!(Lines::read(&place.log()).entries().iter().filter(|entry| entry.kind == "KeyUsed").count(), 3);
}

#[test]
fn what_is_found_and_why_a_log_is_refused_quotes_nothing() {
    let place = sample();
    let path = files(&place.log()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let secret = format!("{{\"entry\":{{\"kind\":\"{SECRET}\"}},\"hash\":\"{}\"}}\n", "0".repeat(64));
    for line in [format!("{SECRET}\n"), secret] {
        fs::write(&path, [bytes.as_slice(), line.as_bytes()].concat()).unwrap();
        assert_untold(finding(&place.log()).to_string().as_bytes());
        assert_untold(place.try_open().unwrap_err().to_string().as_bytes());
    }
    fs::write(&path, bytes).unwrap();
    fs::write(place.log().join("end"), SECRET).unwrap();
    assert_untold(finding(&place.log()).to_string().as_bytes());
    assert_untold(place.try_open().unwrap_err().to_string().as_bytes());
}

#[test]
fn a_name_of_any_length_and_kind_makes_no_entry_that_does_not_read() {
    for name in ["\u{1}".repeat(1 << 20), "é\"\\\n\u{2028}".repeat(1 << 16), String::new()] {
        let place = Place::new();
        let log = place.open();
        let events = vec![
            Event::checkpoint(&name, &name, &name, i64::MIN),
            Event::refused(&name, &name, &name, None),
            Event::incident(&name, &name),
            Event::key_made(&name, &name, Some(name.clone())),
        ];
        log.record_blocking(events).unwrap();
        drop(log);
        verified(&place.log());
        drop(place.open());
    }
}

#[test]
fn blobs_of_one_request_and_epoch_are_one_entry() {
    let place = Place::new();
    let log = place.open();
    let id = |n| EventId::from_bytes([n; 16]);
    let blob = |request, epoch, n| Event::blobs_written(request, epoch, 1, id(n), id(n));
    let two = Event::blobs_written("a", 1, 2, id(2), id(3));
    let events = [blob("a", 1, 1), two, blob("b", 1, 4), blob("a", 2, 5), receipted(1)];
    log.record_blocking(events.to_vec()).unwrap();
    log.record_blocking(vec![blob("a", 2, 6)]).unwrap();
    drop(log);
    let entries = Lines::read(&place.log()).entries();
    let blobs: Vec<_> = entries.iter().filter(|entry| entry.kind == "BlobWritten").collect();
    let id = |n| EventId::from_bytes([n; 16]).to_string();
    for (blob, (request, epoch, count, first, last)) in
        blobs.iter().zip([("a", 1_i64, 3_i64, 1, 3), ("b", 1, 1, 4, 4), ("a", 2, 1, 5, 5), ("a", 2, 1, 6, 6)])
    {
        assert_eq!(blob.object.get_str("request"), Some(request));
        assert_eq!(blob.object.get("epoch"), Some(&epoch.into()));
        assert_eq!(blob.object.get("blobs"), Some(&count.into()));
        assert_eq!(blob.object.get_str("first"), Some(id(first).as_str()));
        assert_eq!(blob.object.get_str("last"), Some(id(last).as_str()));
    }
    assert_eq!(blobs.len(), 4);
}

#[test]
fn what_somebody_must_look_at_is_more_than_what_is_the_course_of_things() {
    let rising = ["Receipted", "CommandBegun", "RecordsLost", "PinRefused"].map(severity);
    assert_eq!(rising, [Severity::Info, Severity::Notice, Severity::Warning, Severity::Alert]);
    assert!(rising.is_sorted());
}
