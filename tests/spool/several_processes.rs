use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use local_vault::facts::SystemClock;
use local_vault::spool::{SCHEMA, Spool};
use local_vault::store::{RoleLock, StoreError, file_kind};

use super::custody::{share_with, spool_keys};
use super::support::{Place, event, fill, lease, receipted};

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn two_writers_and_a_relay_lose_nothing() {
    const EACH: usize = 500;
    let place = Place::new();
    let enqueue = |writer: Arc<Spool>, stream: &'static str| {
        tokio::spawn(async move {
            for n in 0..EACH {
                writer.enqueue(event(stream, &format!("{stream}{n}"), "{}")).await.unwrap();
            }
        })
    };
    let relay = place.open();
    let writers = [enqueue(place.open().into(), "a"), enqueue(place.open().into(), "b")];
    let mut sent: Vec<(String, String)> = Vec::new();
    let mut settled = Vec::new();
    while sent.len() < 2 * EACH {
        let turn = relay.turn(std::mem::take(&mut settled), 2).await.unwrap();
        place.clock.advance(1);
        for leased in turn.leased {
            settled.push((leased.event.seq, receipted(&leased)));
            sent.push((leased.event.stream_id, leased.event.source_ref));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for stream in ["a", "b"] {
        let order: Vec<_> = sent.iter().filter(|(s, _)| s == stream).map(|(_, r)| r.clone()).collect();
        assert_eq!(order, (0..EACH).map(|n| format!("{stream}{n}")).collect::<Vec<_>>());
    }
    assert_eq!(place.events().len(), 2 * EACH);
}

#[test]
fn several_that_make_the_spool_at_once_get_the_same_one() {
    let place = Place::new();
    let opened: Vec<Spool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| place.open())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened.len(), 8);
    assert_eq!(place.reader().epochs().unwrap(), (1, 1));
}

/// Locks of this process on a file, as proc(5) lists them by descriptor. (/proc/locks is read in pieces, and passes over
/// entries while others come and go.)
fn locks_on(file: &Path) -> usize {
    let inode = format!(":{}", std::fs::metadata(file).unwrap().ino());
    let descriptors = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    // A descriptor that was closed meanwhile holds nothing.
    let texts = descriptors.filter_map(|descriptor| std::fs::read_to_string(descriptor.ok()?.path()).ok());
    let locks = |text: String| {
        let ours = |line: &&str| line.starts_with("lock:") && line.split_whitespace().any(|f| f.ends_with(&inode));
        text.lines().filter(ours).count()
    };
    texts.map(locks).sum()
}

#[test]
fn looking_at_a_spool_does_not_take_its_locks_from_the_process_that_has_it_open() {
    let place = Place::new();
    let _spool = place.open();
    let held = locks_on(&place.path());
    assert!(held > 0);
    drop(place.reader());
    file_kind(&place.path(), &SCHEMA).unwrap();
    drop(place.open());
    assert_eq!(locks_on(&place.path()), held);
}

#[tokio::test]
async fn another_process_comes_and_goes() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    in_another_process(&place.path());
    fill(&spool, "a", &["2"]).await;
    in_another_process(&place.path());
    let names: Vec<_> = place.events().into_iter().map(|event| event.source_ref).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(lease(&spool, 9).await.leased.len(), 2);
    drop(spool);
    assert_eq!(place.events().len(), 4);
}

#[test]
fn only_one_may_relay() {
    let place = Place::new();
    let first = RoleLock::take(&place.path(), "relay").unwrap();
    assert_eq!(RoleLock::take(&place.path(), "relay").unwrap_err(), StoreError::Busy(place.path()));
    let _other_role = RoleLock::take(&place.path(), "maintenance").unwrap();
    drop(first);
    RoleLock::take(&place.path(), "relay").unwrap();
}

const CHILD: &str = "LOCAL_VAULT_TEST_CHILD_SPOOL";

/// Enqueues one event from a process of its own, which opens the spool and closes it.
fn in_another_process(spool: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "several_processes::as_the_other_process"]).env(CHILD, spool);
    let child = share_with(&mut child).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

/// What [`in_another_process`] runs; among the other tests it has nothing to do.
#[tokio::test]
async fn as_the_other_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let spool = Spool::open(Path::new(&path), spool_keys(1), Arc::new(SystemClock)).unwrap();
    fill(&spool, "child", &[&format!("by-{}", std::process::id())]).await;
}
