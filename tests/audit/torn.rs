//! What a crash left behind the last whole line was never answered for, and is cut off.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use super::log::Lines;
use super::support::{Place, SHORT, files, open, receipted, record_key, verified};

/// A line that could follow.
fn line() -> Vec<u8> {
    let other = Place::new();
    other.open().record_blocking(vec![receipted(7)]).unwrap();
    Lines::read(&other.log()).line(2).clone()
}

fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// How many bytes the log says were cut, entry by entry.
fn cuts(log: &Path) -> Vec<i64> {
    let cut = Lines::read(log).entries().into_iter().filter(|entry| entry.kind == "TornLineCut");
    cut.map(|entry| entry.object.get("bytes").unwrap().as_i64().unwrap()).collect()
}

#[test]
fn any_part_of_a_line_is_cut_when_the_log_is_opened() {
    let line = line();
    for length in 1..line.len() {
        let place = Place::new();
        place.open().record_blocking(vec![receipted(1)]).unwrap();
        append(&files(&place.log())[0], &line[..length]);
        place.open();
        verified(&place.log());
        assert_eq!(cuts(&place.log()), [length as i64]);
    }
}

#[test]
fn any_part_of_a_line_is_cut_before_the_next_is_written_by_whoever_finds_it() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    let line = line();
    for (n, length) in (1..line.len()).step_by(7).enumerate() {
        append(files(&place.log()).last().unwrap(), &line[..length]);
        let log = if n % 2 == 0 { &one } else { &other };
        log.record_blocking(vec![receipted(n)]).unwrap();
        verified(&place.log());
    }
    let expected: Vec<_> = (1..line.len()).step_by(7).map(|length| length as i64).collect();
    assert_eq!(cuts(&place.log()), expected);
}

#[test]
fn a_crash_at_any_byte_of_a_new_file_is_mended() {
    // The file before it has ended, and of this one something is there or nothing.
    let place = Place::new();
    let log = open(&place.log(), 1, Some(record_key(1))).unwrap();
    log.record_blocking(vec![receipted(1)]).unwrap();
    drop(log);
    let path = files(&place.log()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let first = bytes.iter().position(|&c| c == b'\n').unwrap() + 1;
    for length in 0..first {
        fs::remove_file(place.log().join("end")).unwrap();
        fs::write(&path, &bytes[..length]).unwrap();
        let log = open(&place.log(), SHORT, Some(record_key(1))).unwrap();
        log.record_blocking(vec![receipted(2)]).unwrap();
        drop(log);
        verified(&place.log());
        assert_eq!(cuts(&place.log()), if length == 0 { vec![] } else { vec![length as i64] });
    }
}

#[test]
fn what_is_no_part_of_a_line_is_not_cut() {
    let place = Place::new();
    place.open().record_blocking(vec![receipted(1)]).unwrap();
    let before = fs::read(&files(&place.log())[0]).unwrap();
    append(&files(&place.log())[0], &vec![b'x'; 64 * 1024 + 1]);
    assert!(place.try_open().is_err());
    assert!(fs::read(&files(&place.log())[0]).unwrap().starts_with(&before));
}
