//! Whatever is changed in a log is found, and the first entry that is not as it was is named.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::log::Lines;
use super::support::{Place, copy, files, finding, receipted, sample, verified};

#[test]
fn a_log_of_several_files_by_two_writers_verifies() {
    let place = sample();
    let (seen, mut lines) = (verified(&place.log()), Lines::read(&place.log()));
    let asked = lines.entries().into_iter().rfind(|entry| entry.kind == "Refused").unwrap();
    assert_eq!((seen.first, seen.last), (1, lines.count() as u64));
    assert_eq!(seen.hash, lines.entry(lines.count()).hash);
    assert!(seen.signed.unwrap().0 >= asked.seq, "heads cover all that was asked for");
    assert!(seen.has_note);
}

#[test]
fn every_flipped_bit_is_found_at_its_entry() {
    let place = sample();
    let count = files(&place.log()).len();
    // Two at once, each in its own copy.
    std::thread::scope(|scope| {
        for half in 0..2 {
            let copied = copy(&place);
            scope.spawn(move || {
                for file in files(&copied.log()).iter().skip(half).step_by(2).take(count) {
                    flip_every_bit(&copied.log(), file);
                }
            });
        }
    });
}

fn flip_every_bit(log: &Path, path: &Path) {
    let first = first_of(log, path);
    let (bytes, file) = (fs::read(path).unwrap(), File::options().write(true).open(path).unwrap());
    let mut seq = first;
    for (at, &byte) in bytes.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ (1 << bit)], at as u64).unwrap();
            let found = finding(log);
            assert_eq!((found.seq, found.path.as_path()), (seq, path), "bit {bit} of byte {at}: {found}");
        }
        file.write_all_at(&[byte], at as u64).unwrap();
        seq += u64::from(byte == b'\n');
    }
}

/// The number of the first entry of a file.
fn first_of(log: &Path, path: &Path) -> u64 {
    let before = Lines::read(log).0.into_iter().take_while(|(file, _)| file != path);
    before.map(|(_, lines)| lines.len() as u64).sum::<u64>() + 1
}

#[test]
fn every_flipped_bit_of_the_note_and_of_the_name_is_found() {
    let place = sample();
    for path in [place.log().join("end"), place.folder.path().join("audit.id")] {
        let bytes = fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &changed).unwrap();
            let found = finding(&place.log());
            assert_eq!(found.path, path, "bit {bit}: {found}");
            assert!(place.try_open().is_err(), "bit {bit}");
        }
        fs::write(&path, &bytes).unwrap();
    }
    verified(&place.log());
}

#[test]
fn every_swap_of_two_lines_is_found_at_the_first() {
    let place = sample();
    let lines = Lines::read(&place.log());
    for one in 1..=lines.count() {
        for other in one + 1..=lines.count() {
            let mut changed = lines.clone();
            let line = std::mem::take(changed.line(one));
            *changed.line(one) = std::mem::replace(changed.line(other), line);
            changed.write();
            assert_eq!(finding(&place.log()).seq, one as u64, "{one} and {other}");
        }
    }
}

#[test]
fn every_line_that_is_dropped_or_repeated_is_found() {
    let place = sample();
    let lines = Lines::read(&place.log());
    for seq in 1..=lines.count() {
        let mut changed = lines.clone();
        changed.remove(seq);
        changed.write();
        assert_eq!(finding(&place.log()).seq, seq as u64, "dropped {seq}");

        let mut changed = lines.clone();
        changed.repeat(seq);
        changed.write();
        assert_eq!(finding(&place.log()).seq, seq as u64 + 1, "repeated {seq}");
    }
}

#[test]
fn every_truncation_of_every_file_is_found_at_the_first_entry_that_is_gone() {
    let place = sample();
    for path in files(&place.log()) {
        let (bytes, mut seq) = (fs::read(&path).unwrap(), first_of(&place.log(), &path));
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let found = finding(&place.log());
            assert_eq!(found.seq, seq, "{} cut to {length}: {found}", path.display());
            seq += u64::from(bytes[length] == b'\n');
        }
        fs::write(&path, &bytes).unwrap();
    }
    verified(&place.log());
}

#[test]
fn lines_of_another_log_are_found_wherever_they_are_put() {
    let (place, other) = (sample(), sample());
    let (lines, mut others) = (Lines::read(&place.log()), Lines::read(&other.log()));
    for from in 1..=lines.count().min(others.count()) {
        let mut changed = lines.clone();
        for seq in from..=lines.count().min(others.count()) {
            changed.line(seq).clone_from(others.line(seq));
        }
        changed.write();
        // A whole log in the place of another is found by its name.
        let expected = if from == 1 { finding(&place.log()).seq } else { from as u64 };
        assert_eq!(finding(&place.log()).seq, expected, "from {from}");
    }
}

#[test]
fn a_file_that_is_missing_is_found_at_its_first_entry() {
    let place = sample();
    for path in files(&place.log()) {
        let first = first_of(&place.log(), &path);
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        assert_eq!(finding(&place.log()).seq, first, "{}", path.display());
        // What is missing at the beginning may have been pruned: that takes a look at all of it.
        assert_eq!(place.try_open().is_err(), first > 1);
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn files_in_the_places_of_each_other_are_found() {
    let place = sample();
    let files = files(&place.log());
    for (one, path) in files.iter().enumerate() {
        let first = first_of(&place.log(), path);
        for other in &files[one + 1..] {
            let (mine, others) = (fs::read(path).unwrap(), fs::read(other).unwrap());
            fs::write(path, &others).unwrap();
            fs::write(other, &mine).unwrap();
            assert_eq!(finding(&place.log()).seq, first);
            fs::write(path, &mine).unwrap();
            fs::write(other, &others).unwrap();
        }
    }
}

#[test]
fn files_that_were_all_renumbered_are_found() {
    let place = sample();
    for (at, path) in files(&place.log()).iter().enumerate().rev() {
        fs::rename(path, place.log().join(format!("{:08}.jsonl", at + 2))).unwrap();
    }
    assert_eq!(finding(&place.log()).seq, 1);
}

#[test]
fn a_file_too_many_is_found_and_an_empty_one_behind_the_last_is_a_crash() {
    let place = sample();
    let files = files(&place.log());
    let behind = |by: usize| place.log().join(format!("{:08}.jsonl", files.len() + by));
    let last = verified(&place.log()).last;
    for content in [fs::read(&files[0]).unwrap(), fs::read(files.last().unwrap()).unwrap(), b"x".to_vec()] {
        for by in [1, 2] {
            fs::write(behind(by), &content).unwrap();
            assert_eq!(finding(&place.log()).seq, last + 1);
            assert!(place.try_open().is_err());
            fs::remove_file(behind(by)).unwrap();
        }
    }
    // One is made before the file before it ends.
    fs::write(behind(1), "").unwrap();
    assert_eq!(verified(&place.log()).last, last);
    fs::write(behind(2), "").unwrap();
    assert_eq!(finding(&place.log()).path, behind(2));
    assert!(place.try_open().is_err());
    fs::remove_file(behind(2)).unwrap();
    place.open().record_blocking(vec![receipted(1)]).unwrap();
    verified(&place.log());
    fs::write(place.log().join("00000000.jsonl"), "").unwrap();
    assert_eq!(finding(&place.log()).seq, 1);
}

#[test]
fn what_is_no_plain_file_is_found() {
    let place = sample();
    let last = files(&place.log()).pop().unwrap();
    let aside = last.with_extension("aside");
    fs::rename(&last, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &last).unwrap();
    assert_eq!(finding(&place.log()).what, "it is no plain file");
    assert!(place.try_open().unwrap_err().to_string().ends_with("a link was put in its place"));
}

#[test]
fn a_log_that_is_gone_with_its_folder_is_found_by_its_name() {
    let place: Place = sample();
    fs::remove_dir_all(place.log()).unwrap();
    assert_eq!(finding(&place.log()).what, "there is no log here");
}
