//! The power goes: at any operation, with anything that was not synced kept, lost, torn or out of order.

use super::disk::{Disk, Files};
use super::fate::Fate;
use super::oracle::check;
use super::place::{Place, SPOOL, WAL};
use super::random::{Random, seed, setting};
use super::work::Work;

/// What was found in so many states.
#[derive(Debug, Default)]
struct Found {
    states: usize,
    wrong: Option<String>,
}

/// Crashes at random places of random work, until so many states were looked at or one is wrong.
async fn crashes(seed: u64, states: usize, prepare: impl Fn(&Disk)) -> Found {
    const FROM_ONE: usize = 50;
    let mut found = Found::default();
    for round in 0.. {
        if found.states >= states || found.wrong.is_some() {
            break;
        }
        let seed = seed.wrapping_add(round);
        let (place, mut random) = (Place::new(), Random::new(seed));
        let disk = Disk::watch(place.folder());
        prepare(&disk);
        let mut work = Work::new(&place, &disk, seed);
        work.run(60).await.unwrap();
        disk.release();
        for _ in 0..FROM_ONE.min(states - found.states) {
            let cut = random.below(disk.length() + 1);
            let mut files = disk.after_crash(cut, || Fate::random(&mut random));
            stale_index(&mut files, &mut random);
            found.states += 1;
            let after = Place::with(&files);
            // So that its syncs cost nothing: this power does not fail.
            let watched = Disk::watch(after.folder());
            let verdict = check(&after, &work.history, cut).await;
            watched.release();
            if let Err(what) = verdict {
                let sizes: Vec<_> = files.iter().map(|(name, bytes)| (name, bytes.len())).collect();
                println!("seed {seed}, before operation {cut} of {}, {sizes:?}: {what}", disk.length());
                found.wrong = Some(what);
                break;
            }
        }
    }
    found
}

/// The index of the log is shared memory in a file, which may be there after a crash with anything in it.
fn stale_index(files: &mut Files, random: &mut Random) {
    if files.contains_key(SPOOL) && random.percent(30) {
        let garbage: Vec<u8> = (0..256).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        let garbage = garbage.repeat(128);
        files.insert(format!("{SPOOL}-shm"), garbage);
    }
}

#[tokio::test]
async fn whatever_a_crash_leaves_holds_all_that_was_answered_for() {
    let states = usize::try_from(setting("LOCAL_VAULT_CRASH_STATES").unwrap_or(500)).unwrap();
    let found = crashes(seed("crash states"), states, |_| {}).await;
    assert_eq!(found.wrong, None);
    println!("{} crash states: nothing that was answered for is lost, and nothing is damaged", found.states);
}

/// So that the test above is known to bite.
#[tokio::test]
async fn a_disk_that_does_not_sync_the_log_is_found_out() {
    let found = crashes(1, 500, |disk| disk.lie_about(WAL)).await;
    assert!(found.wrong.is_some());
    println!("found out after {} states", found.states);
}

#[tokio::test]
async fn a_disk_that_does_not_sync_the_database_is_found_out() {
    let found = crashes(1, 500, |disk| disk.lie_about(SPOOL)).await;
    assert!(found.wrong.is_some());
    println!("found out after {} states", found.states);
}
