//! A sync fails, the process is started again, and then the power goes. What the kernel had in memory is gone with it,
//! and what was answered for since must not rest on that.

use super::disk::{Call, Disk, Fault};
use super::errors::{SEED, STEPS};
use super::fate::Fate;
use super::oracle::{check, list};
use super::place::{DOUBT, Place, WAL};
use super::work::{History, Work};

#[tokio::test]
async fn what_is_answered_for_after_a_sync_that_failed_survives_the_power() {
    let (mut failed, mut doubts) = (0, 0);
    for stays in [false, true] {
        for nth in 1.. {
            let fault = Fault { call: Call::Sync, nth, code: rusqlite::ffi::SQLITE_IOERR_FSYNC, stays };
            let Some(was_in_doubt) = restarted(fault).await else { break };
            failed += 1;
            doubts += usize::from(was_in_doubt);
        }
    }
    println!("{failed} syncs failed before a restart, {doubts} of them in a commit");
    assert!(doubts > 20);
}

/// Whether a commit had failed; `None` where the work ends before the fault.
async fn restarted(fault: Fault) -> Option<bool> {
    let place = Place::new();
    let disk = Disk::watch(place.folder());
    disk.fail(Some(fault));
    let mut work = Work::new(&place, &disk, SEED);
    let done = work.run(STEPS).await;
    disk.fail(None);
    if disk.fired() == 0 {
        disk.release();
        done.unwrap();
        return None;
    }
    let (history, cut) = (&work.history, disk.length());
    let note = place.folder().join(DOUBT);
    let was_in_doubt = note.exists();
    let spool = place.open().unwrap();
    if was_in_doubt {
        assert!(!note.exists());
        // Past SQLite, and so past its VFS.
        disk.written_again(WAL);
    }
    // All of it is offered again, answered for, and sent.
    assert_eq!(check(&place, history, cut).await, Ok(()), "{fault:?}");
    holds(&disk, history, cut, fault).await;
    drop(spool);
    holds(&disk, history, cut, fault).await;
    disk.release();
    Some(was_in_doubt)
}

/// The power goes now, and nothing has come to the disk but what was synced.
async fn holds(disk: &Disk, history: &History, cut: usize, fault: Fault) {
    let after = Place::with(&disk.after_crash(disk.length(), || Fate::Lost));
    let watched = Disk::watch(after.folder());
    let events = list(&after.reader().unwrap()).unwrap();
    assert_eq!(events.len(), history.offers.len(), "{fault:?}");
    assert_eq!(check(&after, history, cut).await, Ok(()), "{fault:?}");
    watched.release();
}
