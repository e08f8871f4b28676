use local_vault::spool::{Limits, Retention, Spool, SpoolControl, SpoolError, State};
use local_vault::store::StoreError;

use super::custody::spool_keys;
use super::small_disk::SmallDisk;
use super::support::{Place, event, judged, receipted};

#[tokio::test]
async fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let folder = place.folder.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let Some(disk) = SmallDisk::mount(&folder, "1m") else { return };
    let path = folder.join("spool.sqlite3");
    let spool = Spool::open(&path, spool_keys(1), place.clock.clone()).unwrap();
    spool.set_bounds(Limits { reserve: Some(0), ..Limits::default() }, Retention::default());
    let enqueue = |n: usize| spool.enqueue(event("a", &n.to_string(), &format!("{{\"n\":\"{n:030000}\"}}")));

    let mut kept = Vec::new();
    let refused = loop {
        match enqueue(kept.len()).await {
            Ok(enqueued) => kept.push(enqueued.event_id),
            Err(e) => break e,
        }
    };
    assert!(kept.len() > 3, "{} fitted", kept.len());
    assert_eq!(refused, SpoolError::Store(StoreError::Full));
    // One that does not even fit into SQLite's cache fails in the middle of the transaction, and nobody with it.
    let huge = event("b", "huge", &"7".repeat(6 << 20));
    assert_eq!(spool.enqueue(huge.clone()).await.unwrap_err(), SpoolError::Store(StoreError::Full));
    assert_eq!(enqueue(kept.len()).await.unwrap_err(), SpoolError::Store(StoreError::Full));

    disk.grow("64m");
    kept.push(enqueue(kept.len()).await.unwrap().event_id);
    let huge = spool.enqueue(huge).await.unwrap();
    assert!(!huge.known);
    drop(spool);

    let spool = Spool::open(&path, spool_keys(1), place.clock.clone()).unwrap();
    let mut sent = Vec::new();
    let mut settled = Vec::new();
    loop {
        place.clock.advance(1);
        let turn = spool.turn(std::mem::take(&mut settled), 1).await.unwrap();
        let Some(leased) = turn.leased.first() else { break };
        settled.push((leased.event.seq, receipted(leased)));
        sent.push(leased.event.event_id);
    }
    sent.retain(|id| *id != huge.event_id);
    assert_eq!(sent, kept);
    assert_eq!(spool.enqueue(event("b", "huge", &"7".repeat(6 << 20))).await.unwrap().state, Some(State::Receipted));
    drop(spool);
}

#[tokio::test]
async fn a_purge_gives_room_back_where_the_disk_has_next_to_none() {
    let place = Place::new();
    let folder = place.folder.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let Some(_disk) = SmallDisk::mount(&folder, "64m") else { return };
    let path = folder.join("spool.sqlite3");
    let spool = Spool::open(&path, spool_keys(1), place.clock.clone()).unwrap();
    spool.set_bounds(Limits { reserve: Some(0), ..Limits::default() }, Retention::default());
    let all = (0..400).map(|n| event(&n.to_string(), &n.to_string(), &format!("{{\"n\":\"{n:060000}\"}}"))).collect();
    assert!(spool.enqueue_all(all).await.unwrap().iter().all(Result::is_ok));
    let leased = spool.turn(Vec::new(), 400).await.unwrap().leased;
    // The oldest is dead and stays: its pages lie in front of what goes, and the newest one's behind.
    let settled = leased.iter().map(|leased| match leased.event.seq {
        1 | 400 => (leased.event.seq, judged(None)),
        seq => (seq, receipted(leased)),
    });
    spool.turn(settled.collect(), 0).await.unwrap();
    drop(spool);
    let size = || std::fs::metadata(&path).unwrap().len();
    let before = size();
    let free = || rustix::fs::statvfs(&folder).map(|disk| disk.f_bavail * disk.f_frsize).unwrap();
    // What nobody can free, but for 5 MiB.
    std::fs::write(folder.join("others"), vec![1; usize::try_from(free() - (5 << 20)).unwrap()]).unwrap();

    let control = SpoolControl::open(&path, place.clock.clone()).unwrap();
    let purged = control.purge(State::Receipted, place.now().plus_millis(1), |_| {}).await.unwrap();
    assert_eq!(purged.events, 398);
    assert!(before > 20 << 20 && size() < 1 << 20, "{before} became {}", size());
    drop(control);
    let spool = Spool::open(&path, spool_keys(1), place.clock.clone()).unwrap();
    for n in [0, 399] {
        let kept = spool.payload(leased[n].event.event_id).await.unwrap().unwrap();
        assert_eq!(**kept, *leased[n].payload);
    }
}
