use std::fs::{self, File};
use std::io::Write as _;

use local_vault::audit::{AuditError, Event, Reader};
use local_vault::facts::Timestamp;

use super::log::Lines;
use super::support::{Place, files, receipted, sample};

#[test]
fn a_reader_gives_every_entry_with_its_line() {
    let place = sample();
    let mut lines = Lines::read(&place.log());
    let mut reader = Reader::open(&place.log(), None).unwrap();
    for seq in 1..=lines.count() {
        let (entry, line) = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry, lines.entry(seq));
        assert_eq!(line.as_bytes(), lines.line(seq).strip_suffix(b"\n").unwrap());
    }
    assert_eq!(reader.next_entry(), Ok(None));
}

#[test]
fn a_follower_sees_every_entry_while_files_change() {
    const ENTRIES: usize = 300;
    let place = Place::new();
    let log = place.open();
    let mut reader = Reader::open(&place.log(), None).unwrap();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ENTRIES {
                let name = format!("é{n}");
                log.record_blocking(vec![Event::refused(&name, "dead", "bad-signature", None)]).unwrap();
            }
            log.close();
        });
        let mut next = 1;
        while seen.len() < ENTRIES {
            let Some((entry, _)) = reader.next_entry().unwrap() else {
                std::thread::yield_now();
                continue;
            };
            assert_eq!(entry.seq, next);
            next += 1;
            seen.extend(entry.object.get_str("request").map(str::to_owned));
        }
    });
    assert_eq!(seen, (0..ENTRIES).map(|n| format!("é{n}")).collect::<Vec<_>>());
}

#[test]
fn a_line_that_is_just_being_written_is_given_when_it_is_whole() {
    let place = Place::new();
    let log = place.open();
    let event = Event::refused("éé", "dead", "bad-signature", None);
    log.record_blocking(vec![event]).unwrap();
    drop(log);
    let path = files(&place.log()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let first = bytes.iter().position(|&c| c == b'\n').unwrap() + 1;
    fs::write(&path, &bytes[..first]).unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    let mut reader = Reader::open(&place.log(), None).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().0.seq, 1);
    let second = first + bytes[first..].iter().position(|&c| c == b'\n').unwrap();
    for byte in &bytes[first..second] {
        assert_eq!(reader.next_entry(), Ok(None));
        file.write_all(&[*byte]).unwrap();
    }
    file.write_all(b"\n").unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().0.seq, 2);
}

#[test]
fn a_reader_begins_with_the_first_entry_of_a_time() {
    let place = sample();
    let entries = Lines::read(&place.log()).entries();
    for entry in &entries {
        let expected = entries.iter().find(|other| other.time >= entry.time);
        let mut reader = Reader::open(&place.log(), Some(entry.time)).unwrap();
        assert_eq!(reader.next_entry().unwrap().map(|(entry, _)| entry.seq), expected.map(|entry| entry.seq));
    }
    let mut reader = Reader::open(&place.log(), Some(Timestamp::from_millis(i64::MAX))).unwrap();
    assert_eq!(reader.next_entry(), Ok(None));
}

#[test]
fn what_is_no_entry_is_damage_and_what_is_not_there_is_not() {
    let place = Place::new();
    assert!(matches!(Reader::open(&place.log(), None), Err(AuditError::Io { .. })));
    place.open().record_blocking(vec![receipted(1)]).unwrap();
    for damage in [b"\xff\n".to_vec(), b"{}\n".to_vec(), vec![b'x'; 64 * 1024]] {
        let path = files(&place.log()).remove(0);
        let before = fs::read(&path).unwrap();
        fs::write(&path, damage).unwrap();
        let mut reader = Reader::open(&place.log(), None).unwrap();
        assert!(matches!(reader.next_entry(), Err(AuditError::Damaged { .. })));
        fs::write(&path, before).unwrap();
    }
}
