use std::fs;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::support::{Place, event};

/// Commits in a WAL: frames whose second word is not zero (sqlite.org/fileformat.html, section 4.1).
fn commits(wal: &[u8]) -> usize {
    let page = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    wal[32..].chunks_exact(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn events_that_arrive_together_share_a_commit() {
    const EVENTS: usize = 500;
    let place = Place::new();
    let spool = place.open();
    let wal = place.folder.path().join("spool.sqlite3-wal");
    let before = commits(&fs::read(&wal).unwrap());

    // While another process writes, they gather.
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
    for n in 0..EVENTS {
        waiting.push(Box::pin(spool.enqueue(event("a", &n.to_string(), "{}"))));
    }
    tokio::task::unconstrained(poll_fn(|context| {
        for enqueue in &mut waiting {
            assert!(enqueue.as_mut().poll(context).is_pending());
        }
        Poll::Ready(())
    }))
    .await;
    other.execute_batch("COMMIT").unwrap();
    for enqueue in waiting {
        enqueue.await.unwrap();
    }

    // The batch that waited for the other process, and the one that gathered behind it.
    let shared = commits(&fs::read(&wal).unwrap()) - before;
    assert!((1..=2).contains(&shared), "{shared} commits for {EVENTS} events");
    assert_eq!(place.events().len(), EVENTS);
}

#[tokio::test]
async fn an_event_that_is_refused_takes_nobody_with_it() {
    let place = Place::new();
    let spool = place.open();
    let (first, conflict, last) = tokio::join!(
        spool.enqueue(event("a", "1", "{}")),
        spool.enqueue(event("a", "1", "{\"other\":1}")),
        spool.enqueue(event("a", "2", "{}")),
    );
    assert!(first.is_ok() && conflict.is_err() && last.is_ok());
    assert_eq!(place.events().len(), 2);
}
