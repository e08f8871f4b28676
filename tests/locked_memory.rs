//! What the kernel says of the page that a key lies on, read from `/proc/self/smaps`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ops::Range;
use std::process::Command;

use local_vault::facts::LockedKey;

#[test]
fn a_key_page_is_left_out_of_dumps_and_not_swapped() {
    let key = LockedKey::new(&mut [0x5a; 32]);
    let page = mapping_of(&key);
    assert!(page.has("dd"), "in a core dump: {page:?}");
    assert!(page.has("lo"), "not locked (is RLIMIT_MEMLOCK below a page?): {page:?}");
}

#[test]
fn the_pages_around_a_key_cannot_be_read() {
    let key = LockedKey::new(&mut [0x5a; 32]);
    let page = mapping_of(&key);
    for guard in [mapping_at(page.range.start - 1), mapping_at(page.range.end)] {
        assert!(!guard.has("rd"), "{guard:?}");
    }
}

/// Run by the test below in a process of its own; passes in any other as well.
#[test]
fn a_key_works_where_nothing_may_be_locked_and_is_left_out_of_dumps_there_too() {
    let keys: Vec<LockedKey> = (0..100).map(|i| LockedKey::new(&mut [i; 32])).collect();
    for (i, key) in (0..).zip(&keys) {
        assert_eq!(key.expose(), &[i; 32]);
        assert!(mapping_of(key).has("dd"));
    }
    println!("locked: {}", keys.iter().filter(|key| mapping_of(key).has("lo")).count());
}

#[test]
fn a_process_without_the_right_to_lock_memory_runs_the_same() {
    // Root may lock whatever the limit says, so the capability goes as well.
    let mut command = Command::new("sh");
    let drop_capability = if rustix::process::geteuid().is_root() { "setpriv --bounding-set=-ipc_lock" } else { "" };
    command.args(["-c", &format!("ulimit -l 0 && exec {drop_capability} \"$0\" --exact --nocapture \"$1\"")]);
    command.arg(std::env::current_exe().unwrap());
    command.arg("a_key_works_where_nothing_may_be_locked_and_is_left_out_of_dumps_there_too");
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("locked: 0"), "the limit did not hold: {said}");
}

/// One mapping of this process.
#[derive(Debug)]
struct Mapping {
    range: Range<usize>,
    flags: String,
}

impl Mapping {
    /// Whether `VmFlags` has this flag: `dd` left out of dumps, `lo` locked, `rd` readable.
    fn has(&self, flag: &str) -> bool {
        self.flags.split_whitespace().any(|f| f == flag)
    }
}

fn mapping_of(key: &LockedKey) -> Mapping {
    mapping_at(key.expose().as_ptr() as usize)
}

fn mapping_at(address: usize) -> Mapping {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut range = 0..0;
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags: ").filter(|_| range.contains(&address)) {
            return Mapping { range, flags: flags.to_owned() };
        }
        range = addresses(line).unwrap_or(range);
    }
    panic!("no mapping holds {address:x}");
}

/// The range that stands at the head of a mapping's lines.
fn addresses(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}
