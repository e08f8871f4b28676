//! The feed of a witness, from the sandbox over TLS, and the way from an item to the receiver.

use std::time::Duration;

use local_vault::facts::Timestamp;
use local_vault::protocol::json::{Object, Value};
use local_vault::protocol::witness::{Item, Page};
use local_vault::relay::{Feed, FeedError, RetryAfter, TransportError};

use super::outbox::{accepted, checkpoints_of};
use super::place::{INSTALLATION, PATIENT, Place, client, run, sandbox};
use super::support::Sandbox;

fn feed_of(sandbox: &Sandbox, timeout: Duration) -> Feed {
    Feed::new(client(&sandbox.at("/witness/v1/feed"), Some(sandbox.ca_file()), timeout), INSTALLATION)
}

/// A submission as it is posted, which names no witness.
fn submitted(n: i64) -> Object {
    Object::new()
        .with("tenant_id", "ten_1")
        .with("stream_id", format!("str_{n}"))
        .with("checkpoint_id", format!("chk_{n}"))
        .with("checkpoint_seq_no", n)
        .with("checkpoint_hash", format!("{n:064x}"))
        .with("previous_checkpoint_hash", Value::Null)
}

#[tokio::test]
async fn a_feed_is_read_page_after_page() {
    let sandbox = sandbox(&[]);
    sandbox.feed((1..=250).map(|n| submitted(n).into()).collect()).await;
    let feed = feed_of(&sandbox, PATIENT);
    let (mut after, mut pages, mut items) = (0, Vec::new(), Vec::new());
    loop {
        let page = feed.after(after).await.unwrap();
        if page.items.is_empty() {
            break;
        }
        after = page.next;
        pages.push(page.items.len());
        items.extend(page.items);
    }
    assert_eq!((pages.as_slice(), after), ([100, 100, 50].as_slice(), 250));
    for (n, Item { n: given, submission }) in (1..).zip(items) {
        let submission = submission.unwrap();
        assert_eq!((given, submission.checkpoint_seq_no, submission.witness_id.as_str()), (n, n, INSTALLATION));
    }
    assert_eq!(sandbox.count("fed").await, 250);
}

#[tokio::test]
async fn an_item_that_is_no_checkpoint_stops_no_other() {
    let sandbox = sandbox(&[]);
    let bad = submitted(2).with("checkpoint_hash", "no hash");
    sandbox.feed(vec![submitted(1).into(), bad.into(), Value::Null, submitted(4).into()]).await;
    let page = feed_of(&sandbox, PATIENT).after(0).await.unwrap();
    let is_good: Vec<_> = page.items.iter().map(|item| (item.n, item.submission.is_ok())).collect();
    assert_eq!(is_good, [(1, true), (2, false), (3, false), (4, true)]);
    assert_eq!(page.next, 4);
    let why = page.items[1].submission.clone().unwrap_err().to_string();
    assert_eq!(why, "the checkpoint hash is not 64 lower-case hex digits");
}

#[tokio::test]
async fn what_is_no_page_is_an_error_and_the_next_one_is_read() {
    let sandbox = sandbox(&[]);
    sandbox.feed(vec![submitted(1).into()]).await;
    let status = |status, retry_after| FeedError::Status { status, retry_after };
    let later = RetryAfter::After(Duration::from_secs(120));
    let cases = [
        ("close", Some(TransportError::Closed.into())),
        ("conflict", Some(status(409, None))),
        ("empty", None),
        ("forbidden", Some(status(403, None))),
        ("garbage", None),
        ("half-body", Some(TransportError::Incomplete.into())),
        ("html", None),
        ("huge", Some(TransportError::TooLarge.into())),
        ("not-found", Some(status(404, None))),
        ("redirect", Some(status(302, None))),
        ("unavailable-later", Some(status(503, Some(later)))),
    ];
    let feed = feed_of(&sandbox, PATIENT);
    for (mode, error) in cases {
        sandbox.behave_on("feed", mode, Some(1)).await;
        let found = feed.after(0).await.unwrap_err();
        match error {
            Some(error) => assert_eq!(found, error, "{mode}"),
            None => assert!(matches!(found, FeedError::Json(_)), "{mode}: {found:?}"),
        }
        assert_eq!(feed.after(0).await.unwrap().items.len(), 1, "{mode}");
    }
    assert_eq!(sandbox.count("trapped").await, 0);
    let wait = status(503, Some(later)).wait(1, Timestamp::from_millis(0));
    assert_eq!(wait, Duration::from_secs(120));
}

#[tokio::test]
async fn a_feed_that_never_answers_ends_with_the_deadline() {
    let sandbox = sandbox(&[]);
    for mode in ["stall", "stall-body"] {
        sandbox.behave_on("feed", mode, Some(1)).await;
        let error = feed_of(&sandbox, Duration::from_secs(2)).after(0).await;
        assert_eq!(error, Err(TransportError::Timeout.into()), "{mode}");
    }
}

#[tokio::test]
async fn each_item_is_signed_and_posted_once_over_restarts() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    let feed = feed_of(&sandbox, PATIENT);
    for round in 0..3_i64 {
        // Two good ones and a bad one, which is refused for good.
        let first = round * 3 + 1;
        sandbox.feed(vec![submitted(first).into(), submitted(first + 1).into(), Value::Null]).await;
        // As after a restart: nothing is known but what is on the disk.
        let outbox = place.outbox().await;
        let after = outbox.position().await.unwrap();
        assert_eq!(after, round * 3);
        let Page { items, .. } = feed.after(after).await.unwrap();
        let (mut lines, mut last) = (Vec::new(), after);
        for Item { n, submission } in items {
            last = n;
            if let Ok(submission) = submission {
                lines.push((n, accepted(submission).await));
            }
        }
        assert_eq!(last, after + 3);
        outbox.read_up_to(last, lines).await.unwrap();
        drop(outbox);
        let (outcomes, _) = run(&mut place.outbox_drain(checkpoints_of(&sandbox)).await).await;
        let refs: Vec<_> = outcomes.iter().map(|outcome| outcome.source_ref.clone()).collect();
        assert_eq!(refs, [format!("feed:{first}"), format!("feed:{}", first + 1)]);
    }
    assert_eq!((sandbox.count("fed").await, sandbox.count("checkpoints").await), (9, 6));
}
