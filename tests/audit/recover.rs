use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use local_vault::audit::recover;
use local_vault::facts::SystemClock;

use super::log::Lines;
use super::support::{Place, files, finding, receipted, sample, verified};

/// The content of each file of a folder, but for its lock.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()));
    named.filter(|(name, _)| name != "lock").collect()
}

#[test]
fn a_damaged_log_is_kept_byte_for_byte_and_another_one_begun_that_names_it() {
    let place = sample();
    let (before, last) = (verified(&place.log()).log_id, files(&place.log()).pop().unwrap());
    let mut bytes = fs::read(&last).unwrap();
    bytes[9] ^= 1;
    fs::write(&last, bytes).unwrap();
    let found = finding(&place.log());
    let mut there = contents(&place.log());

    let recovered = recover(&place.log(), "a test", &SystemClock).unwrap().unwrap();
    let kept = contents(&recovered.kept);
    there.insert("audit.id".into(), format!("{before}\n").into_bytes());
    assert_eq!(kept, there);

    assert_ne!(recovered.log_id, before);
    let seen = verified(&place.log());
    assert_eq!((seen.log_id.as_str(), seen.last), (recovered.log_id.as_str(), 1));
    let first = Lines::read(&place.log()).entry(1);
    let after = first.object.get_object("after").unwrap();
    assert_eq!(after.get_str("log_id"), Some(before.as_str()));
    assert_eq!(after.get("found_seq"), Some(&found.seq.into()));
    assert_eq!(after.get_str("reason"), Some("a test"));
    place.open().record_blocking(vec![receipted(1)]).unwrap();
    verified(&place.log());
}

#[test]
fn whoever_had_the_damaged_log_open_does_not_write_into_the_new_one() {
    let place = sample();
    let log = place.open();
    fs::write(place.log().join("end"), "x").unwrap();
    recover(&place.log(), "a test", &SystemClock).unwrap().unwrap();
    assert!(log.record_blocking(vec![receipted(1)]).is_err());
    drop(log);
    assert_eq!(verified(&place.log()).last, 1);
}

#[test]
fn a_sound_log_is_not_touched() {
    let place = sample();
    let before = contents(&place.log());
    assert_eq!(recover(&place.log(), "a test", &SystemClock), Ok(None));
    assert_eq!(contents(&place.log()), before);
}

#[test]
fn where_there_never_was_a_log_none_is_recovered() {
    let place = Place::new();
    assert_eq!(recover(&place.log(), "a test", &SystemClock), Ok(None));
    assert!(!place.log().exists());
}

#[test]
fn a_log_that_is_gone_as_a_whole_is_begun_anew_on_demand() {
    let place = sample();
    let before = verified(&place.log()).log_id;
    fs::remove_dir_all(place.log()).unwrap();
    recover(&place.log(), "a test", &SystemClock).unwrap().unwrap();
    let mut lines = Lines::read(&place.log());
    assert_eq!(lines.entry(1).object.get_object("after").unwrap().get_str("log_id"), Some(before.as_str()));
    place.open();
    verified(&place.log());
}
