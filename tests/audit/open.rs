//! What a log is refused for that somebody wants to append to, and what is noticed while it is open.

use std::fs;

use local_vault::audit::AuditError;

use super::log::Lines;
use super::support::{Place, SHORT, files, open, receipted, record_key, sample, verified};

fn is_damaged<T>(done: Result<T, AuditError>) -> bool {
    matches!(done, Err(AuditError::Damaged { .. }))
}

#[test]
fn a_log_is_refused_where_its_last_entry_is_not_as_it_was() {
    let place = sample();
    let path = files(&place.log()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let line = bytes[..bytes.len() - 1].iter().rposition(|&c| c == b'\n').unwrap() + 1;
    for at in line..bytes.len() - 1 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(is_damaged(place.try_open()), "byte {at}");
    }
    fs::write(&path, &bytes[..line]).unwrap();
    assert!(is_damaged(place.try_open()), "the last entry is gone");
    fs::write(&path, "").unwrap();
    assert!(is_damaged(place.try_open()), "the last file is empty");
    fs::write(&path, &bytes).unwrap();
    place.open();
    verified(&place.log());
}

#[test]
fn a_log_is_refused_whose_last_file_has_one_entry_that_does_not_follow() {
    for (value, is_sound) in [(None, true), (Some("0".repeat(64)), false)] {
        let place = sample();
        let mut lines = Lines::read(&place.log());
        lines.0.last_mut().unwrap().1.truncate(1);
        let seq = lines.count();
        if let Some(value) = value {
            lines.forge(seq, |object| object.with("previous_hash", value));
        }
        lines.write();
        // The note knows better.
        assert!(is_damaged(place.try_open()));
        fs::remove_file(place.log().join("end")).unwrap();
        assert_eq!(place.try_open().is_ok(), is_sound);
    }
}

#[test]
fn a_log_is_refused_whose_last_file_is_that_of_another_log() {
    let (place, other) = (sample(), sample());
    let last = files(&place.log()).pop().unwrap();
    fs::copy(other.log().join(last.file_name().unwrap()), &last).unwrap();
    fs::remove_file(place.log().join("end")).unwrap();
    assert!(is_damaged(place.try_open()));
}

#[test]
fn a_log_is_refused_that_is_another_one_than_the_note_says() {
    let (place, other) = (sample(), sample());
    fs::copy(other.log().join("end"), place.log().join("end")).unwrap();
    assert!(is_damaged(place.try_open()));
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew() {
    let place = sample();
    for path in files(&place.log()) {
        fs::remove_file(path).unwrap();
    }
    assert!(is_damaged(place.try_open()));
    fs::remove_dir_all(place.log()).unwrap();
    assert!(is_damaged(place.try_open()));
    assert!(is_damaged(place.try_open()), "nor when it is tried again");
    assert!(files(&place.log()).is_empty());
}

#[test]
fn a_log_whose_name_was_never_noted_is_the_same_log() {
    let place = sample();
    let seen = verified(&place.log());
    fs::remove_file(place.folder.path().join("audit.id")).unwrap();
    place.open();
    assert_eq!(verified(&place.log()).log_id, seen.log_id);
    assert_eq!(fs::read_to_string(place.folder.path().join("audit.id")).unwrap(), format!("{}\n", seen.log_id));
}

#[test]
fn a_log_that_was_never_begun_to_the_end_is_begun_again() {
    let place = Place::new();
    fs::create_dir(place.log()).unwrap();
    fs::write(place.log().join("00000001.draft"), "{\"entry\":").unwrap();
    place.open();
    verified(&place.log());
}

/// What happens to the files of a log, while somebody has it open.
fn while_open(what: &str, change: impl Fn(&Place)) {
    let place = Place::new();
    let log = place.open();
    log.record_blocking(vec![receipted(1)]).unwrap();
    change(&place);
    assert!(is_damaged(log.record_blocking(vec![receipted(2)])), "{what}");
    assert!(is_damaged(log.record_blocking(vec![receipted(3)])), "{what}, and nothing goes on");
    assert!(log.failure().is_some());
    let files: Vec<_> = files(&place.log()).into_iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!String::from_utf8(files.concat()).unwrap().contains("lv_2.1"), "{what}: nothing was appended");
}

#[test]
fn a_log_that_is_deleted_moved_or_cut_while_it_is_open_is_noticed_at_the_next_entry() {
    let last = |place: &Place| files(&place.log()).pop().unwrap();
    while_open("the file is gone", |place| fs::remove_file(last(place)).unwrap());
    while_open("another file", |place| {
        let (path, bytes) = (last(place), fs::read(last(place)).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(path, bytes).unwrap();
    });
    while_open("cut", |place| {
        let file = fs::File::options().write(true).open(last(place)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    });
    while_open("emptied", |place| fs::write(last(place), "").unwrap());
    while_open("something that does not follow", |place| {
        let bytes = fs::read(last(place)).unwrap();
        fs::write(last(place), [bytes.as_slice(), b"{}\n"].concat()).unwrap();
    });
    while_open("a link", |place| {
        let (path, aside) = (last(place), place.log().join("aside"));
        fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::symlink(aside, path).unwrap();
    });
}

#[test]
fn a_folder_that_is_gone_while_it_is_open_is_noticed_at_the_next_entry() {
    let place = Place::new();
    let log = place.open();
    fs::remove_dir_all(place.log()).unwrap();
    assert!(is_damaged(log.record_blocking(vec![receipted(1)])));
    drop(log);
    assert!(!place.log().exists());
}

#[test]
fn a_file_that_nothing_leads_to_is_not_appended_to() {
    let place = Place::new();
    let log = open(&place.log(), 1, Some(record_key(1))).unwrap();
    let last = files(&place.log()).len();
    fs::write(place.log().join(format!("{:08}.jsonl", last + 1)), "{}\n").unwrap();
    assert!(is_damaged(log.record_blocking(vec![receipted(1)])));
}

#[test]
fn a_lock_that_somebody_deletes_lets_nobody_in_between() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    for n in 0..20 {
        one.record_blocking(vec![receipted(n)]).unwrap();
        fs::remove_file(place.log().join("lock")).unwrap();
        other.record_blocking(vec![receipted(n)]).unwrap();
    }
    drop((one, other));
    verified(&place.log());
}

#[test]
fn a_link_in_the_place_of_a_file_of_ours_is_not_followed() {
    for name in ["00000001.draft", "end", "lock"] {
        let place = Place::new();
        fs::create_dir(place.log()).unwrap();
        let target = place.folder.path().join("target");
        std::os::unix::fs::symlink(&target, place.log().join(name)).unwrap();
        assert!(is_damaged(open(&place.log(), SHORT, None)), "{name}");
        assert!(!target.exists(), "{name}");
    }
}
