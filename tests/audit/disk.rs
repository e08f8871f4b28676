//! A disk that is full or fails is told apart from a log that was changed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use local_vault::audit::{AuditConfig, AuditError};

use super::log::Lines;
use super::processes::{requests, took};
use super::support::{Place, SHORT, open, receipted, record_key, verified};

/// A file system of a given size, gone when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None where the tests were told that they may not mount. Anything else that prevents it is a failure.
    fn mount(at: &'a Path) -> Option<Self> {
        if std::env::var_os("LOCAL_VAULT_TEST_NO_ROOT").is_some() {
            return None;
        }
        let mounted = run(&["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"], at);
        assert!(mounted, "this test mounts a small disk and needs root; set LOCAL_VAULT_TEST_NO_ROOT=1 to go without");
        Some(Self(at))
    }

    fn grow(&self) {
        assert!(run(&["-o", "remount,size=64m"], self.0));
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn run(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).status().is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_no_damage_and_what_was_answered_for_is_there() {
    // In short files there is no room for another file, in a long one not for all of a line.
    for longest in [SHORT, AuditConfig::LONGEST_FILE] {
        let place = Place::new();
        let folder = place.folder.path().join("disk");
        fs::create_dir(&folder).unwrap();
        let Some(disk) = SmallDisk::mount(&folder) else { return };
        let log = folder.join("audit");
        let audit = open(&log, longest, Some(record_key(1))).unwrap();
        let mut taken = Vec::new();
        let refused = loop {
            match audit.record_blocking(vec![receipted(1000 + taken.len())]) {
                Ok(()) => taken.push(format!("lv_{}.1", 1000 + taken.len())),
                Err(e) => break e,
            }
        };
        assert!(taken.len() > 9, "{} fitted", taken.len());
        assert!(matches!(refused, AuditError::Full(_)), "{refused:?}");
        assert!(matches!(audit.failure(), Some(AuditError::Full(_))));
        for n in 0..3 {
            audit.note(receipted(5000 + n));
        }
        // Whoever asks behind the notes is answered behind them.
        assert!(matches!(audit.record_blocking(vec![receipted(6000)]), Err(AuditError::Full(_))));
        assert!(matches!(open(&log, longest, None).map(|_| ()), Ok(()) | Err(AuditError::Full(_))));
        assert_eq!(requests(&log), taken.iter().cloned().collect());
        verified(&log);

        disk.grow();
        audit.record_blocking(vec![receipted(7000)]).unwrap();
        assert_eq!(audit.failure(), None);
        drop(audit);
        taken.push("lv_7000.1".into());
        assert_eq!(requests(&log), taken.into_iter().collect());
        let entries = Lines::read(&log).entries();
        let lost: Vec<_> = entries.iter().filter(|entry| entry.kind == "RecordsLost").collect();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].object.get("lost"), Some(&3_i64.into()));
        verified(&log);
    }
}

#[test]
fn notes_that_were_lost_are_told_of_at_the_end_where_there_is_room_again() {
    let place = Place::new();
    let folder = place.folder.path().join("disk");
    fs::create_dir(&folder).unwrap();
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    let log = folder.join("audit");
    let audit = open(&log, SHORT, None).unwrap();
    let mut n = 0;
    while audit.record_blocking(vec![receipted(n)]).is_ok() {
        n += 1;
    }
    audit.note(receipted(n));
    assert!(audit.record_blocking(vec![receipted(n)]).is_err());
    disk.grow();
    audit.close();
    assert_eq!(Lines::read(&log).entries().last().unwrap().kind, "RecordsLost");
    verified(&log);
}

const LOG: &str = "LOCAL_VAULT_TEST_AUDIT_LIMITED";

#[test]
fn a_write_that_fails_is_a_failure_of_the_disk_and_ends_the_log_for_that_process() {
    let place = Place::new();
    // A process that may write no file beyond some length; and is not ended for trying.
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    child.args(["--exact", "disk::as_the_process_that_may_not_write_on", "--nocapture", "--quiet"]);
    let mut child = child.env(LOG, place.log()).stdout(Stdio::piped()).spawn().unwrap();
    let taken = took(&mut child).collect::<std::collections::HashSet<_>>();
    assert!(child.wait().unwrap().success());
    assert!(taken.len() > 5, "{} fitted", taken.len());
    assert_eq!(requests(&place.log()), taken);
    verified(&place.log());
    place.open().record_blocking(vec![receipted(1)]).unwrap();
    verified(&place.log());
}

/// What the test above runs; among the other tests it has nothing to do.
#[test]
fn as_the_process_that_may_not_write_on() {
    let Some(log) = std::env::var_os(LOG) else { return };
    let audit = open(Path::new(&log), AuditConfig::LONGEST_FILE, Some(record_key(1))).unwrap();
    let mut out = std::io::stdout();
    let mut n = 1000;
    let refused = loop {
        match audit.record_blocking(vec![receipted(n)]) {
            Ok(()) => writeln!(out, "took lv_{n}.1").unwrap(),
            Err(e) => break e,
        }
        n += 1;
    };
    assert!(matches!(refused, AuditError::Io { .. }), "{refused:?}");
    assert_eq!(audit.record_blocking(vec![receipted(n)]), Err(refused));
}
