//! Each call that SQLite makes fails once, or from then on. What the spool answers for is there all the same.

use local_vault::epochs::EpochError;
use local_vault::spool::SpoolError;
use local_vault::store::StoreError;
use rusqlite::ffi;

use super::disk::{Call, Disk, Fault};
use super::fate::Fate;
use super::oracle::check;
use super::place::Place;
use super::random::{Random, setting};
use super::work::{Failed, Work};

/// How each kind of call fails, as SQLite's own VFS says it.
const FAILURES: [(Call, i32); 11] = [
    (Call::Access, ffi::SQLITE_IOERR_ACCESS),
    (Call::Delete, ffi::SQLITE_IOERR_DELETE),
    (Call::Lock, ffi::SQLITE_IOERR_LOCK),
    (Call::Open, ffi::SQLITE_CANTOPEN),
    (Call::Read, ffi::SQLITE_IOERR_READ),
    (Call::SharedMemory, ffi::SQLITE_IOERR_SHMMAP),
    (Call::Size, ffi::SQLITE_IOERR_FSTAT),
    (Call::Sync, ffi::SQLITE_IOERR_FSYNC),
    (Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE),
    (Call::Write, ffi::SQLITE_FULL),
    (Call::Write, ffi::SQLITE_IOERR_WRITE),
];

/// Work that crosses commits, checkpoints, a rotation and a reopening.
pub(crate) const SEED: u64 = 3;
pub(crate) const STEPS: usize = 25;

/// Which call of its kind fails: each of the first, and then some of them, or all with `LOCAL_VAULT_ALL_FAULTS=1`.
fn calls() -> impl Iterator<Item = usize> {
    const STRIDE: usize = 23;
    let all = setting("LOCAL_VAULT_ALL_FAULTS").is_some();
    (1..).filter(move |nth| all || *nth < 20 || nth % STRIDE == 0)
}

/// What became of a fault.
#[derive(Debug, Default)]
struct Count {
    injected: usize,
    told: usize,
    stopped: usize,
}

#[tokio::test]
async fn whichever_call_fails_nothing_that_was_answered_for_is_lost() {
    let mut total = 0;
    for (call, code) in FAILURES {
        for stays in [false, true] {
            let mut count = Count::default();
            for nth in calls() {
                if !one(Fault { call, nth, code, stays }, &mut count).await {
                    break;
                }
            }
            assert!(count.injected > 0, "{call:?} is never called");
            let how = if stays { "for good" } else { "once" };
            println!("{call:?} fails with {code} {how}: {count:?}");
            total += count.injected;
        }
    }
    println!("{total} injected faults: nothing that was answered for is lost, and nothing is damaged");
}

/// One fault in work that is otherwise always the same. False where the work ends before the fault.
async fn one(fault: Fault, count: &mut Count) -> bool {
    let place = Place::new();
    let disk = Disk::watch(place.folder());
    disk.fail(Some(fault));
    let mut work = Work::new(&place, &disk, SEED);
    let done = work.run(STEPS).await;
    let fired = disk.fired();
    disk.fail(None);
    if fired == 0 {
        disk.release();
        done.unwrap();
        return false;
    }
    count.injected += 1;
    if let Err(failed) = done {
        count.told += 1;
        count.stopped += usize::from(failed.then == Some(STOPPED));
        judge(fault, &failed);
    }
    let (history, cut) = (&work.history, disk.length());
    // The power goes just then, and nothing has come to the disk that was not synced; or anything has.
    let mut random = Random::new(u64::try_from(fault.nth).unwrap());
    let lost = disk.after_crash(cut, || Fate::Lost);
    let torn = disk.after_crash(cut, || Fate::random(&mut random));
    // What only reads changes nothing about what is on the disk.
    let writes = matches!(fault.call, Call::Delete | Call::Sync | Call::Truncate | Call::Write);
    for files in [lost, torn].iter().filter(|_| writes) {
        let after = Place::with(files);
        let watched = Disk::watch(after.folder());
        assert_eq!(check(&after, history, cut).await, Ok(()), "{fault:?}, and then the power");
        watched.release();
    }
    // The process is started again, on a disk that has come to its senses.
    assert_eq!(check(&place, history, cut).await, Ok(()), "{fault:?}");
    disk.release();
    true
}

const STOPPED: Result<(), SpoolError> = Err(SpoolError::Store(StoreError::Stopped));

/// A commit that failed may have happened, so the writer stops; unless there was just no room.
fn judge(fault: Fault, failed: &Failed) {
    let error = match &failed.error {
        SpoolError::Store(error) | SpoolError::Epoch(EpochError::Store(error)) => error,
        error => panic!("{fault:?}: {error:?}"),
    };
    let Some(then) = &failed.then else {
        assert!(matches!(error, StoreError::Full | StoreError::Io(_)), "{fault:?}: {error:?}");
        return;
    };
    if fault.code == ffi::SQLITE_FULL {
        assert_eq!(*error, StoreError::Full, "{fault:?}");
        assert_ne!(*then, STOPPED, "{fault:?}");
    } else {
        assert!(matches!(error, StoreError::Io(_)), "{fault:?}: {error:?}");
        let in_doubt = matches!(fault.call, Call::Sync | Call::Write);
        assert!(!in_doubt || *then == STOPPED, "{fault:?}: {then:?}");
    }
}
