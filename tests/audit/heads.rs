use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use local_vault::audit::{AuditError, Standing};
use local_vault::custody::file::FileKey;
use local_vault::custody::{CustodyError, ErrorKind, Protection, SigningKey};
use local_vault::facts::{Clock as _, SystemClock};
use local_vault::protocol::{Preimage, PublicKey, Signature};

use super::log::Lines;
use super::support::{Away, Place, files, privileged, receipted, record_key, verified};

/// The kinds of all entries but those that begin and end files.
fn kinds(place: &Place) -> Vec<String> {
    let kinds = Lines::read(&place.log()).entries().into_iter().map(|entry| entry.kind);
    kinds.filter(|kind| !kind.starts_with("File")).collect()
}

fn standing(place: &Place) -> Standing {
    Standing::read(&place.log()).unwrap().unwrap()
}

#[test]
fn a_head_is_signed_behind_what_is_privileged_on_demand_and_at_the_end() {
    let place = Place::new();
    let log = place.open();
    let mut heads = log.heads();
    log.record_blocking(vec![receipted(1)]).unwrap();
    log.record_blocking(vec![privileged()]).unwrap();
    let behind_privileged = heads.blocking_recv().unwrap();
    assert!(log.sign_head_blocking());
    let on_demand = heads.blocking_recv().unwrap();
    log.record_blocking(vec![receipted(2)]).unwrap();
    log.close();
    let at_the_end = heads.blocking_recv().unwrap();

    let expected =
        ["LogBegun", "Receipted", "Incident", "HeadSigned", "HeadSigned", "Receipted", "HeadSigned"].map(str::to_owned);
    assert_eq!(kinds(&place), expected);
    let key = record_key(1);
    for head in [&behind_privileged, &on_demand, &at_the_end] {
        head.verify().unwrap();
        assert_eq!(&head.public_key, key.public_key());
        assert_eq!(head.head.hash, Lines::read(&place.log()).entry(head.head.seq as usize).hash);
    }
    let seen = verified(&place.log());
    assert_eq!((seen.heads, seen.signed), (3, Some((at_the_end.head.seq, at_the_end.head.signed_at))));
    // When it was written down, which is a moment after it was signed.
    let head_at = standing(&place).head_at.unwrap();
    assert!((at_the_end.head.signed_at..=SystemClock.now()).contains(&head_at), "{head_at}");
}

#[test]
fn what_is_signed_already_is_not_signed_again_at_the_end() {
    let place = Place::new();
    let log = place.open();
    log.record_blocking(vec![receipted(1)]).unwrap();
    assert!(log.sign_head_blocking());
    drop(log);
    drop(place.open());
    assert_eq!(verified(&place.log()).heads, 1);
}

#[test]
fn a_key_that_does_not_sign_owes_the_head_and_the_entries_stand() {
    // One that refuses is not asked again.
    for (kind, entry, asked) in [(ErrorKind::Away, "KeyFailed", 3), (ErrorKind::Refused, "PinRefused", 1)] {
        let (place, key) = (Place::new(), Away::new(kind));
        let log = place.open_with(key.clone());
        log.record_blocking(vec![receipted(1)]).unwrap();
        assert!(!log.sign_head_blocking());
        assert!(!log.sign_head_blocking());
        log.record_blocking(vec![receipted(2)]).unwrap();
        assert_eq!(log.failure(), None);
        log.close();
        assert_eq!(key.asked.load(Ordering::Relaxed), asked);
        // That it failed is told once, until it signs again.
        assert_eq!(kinds(&place), ["LogBegun", "Receipted", entry, "Receipted"].map(str::to_owned));
        assert_eq!(verified(&place.log()).signed, None);

        place.open().record_blocking(vec![receipted(2)]).unwrap();
        let seen = verified(&place.log());
        let head = Lines::read(&place.log()).entries().pop().unwrap();
        assert_eq!(seen.signed.map(|(seq, _)| seq), Some(head.seq - 1), "the next one signs for all");
    }
}

/// A key that signs when it is let.
#[derive(Debug)]
struct Held {
    key: FileKey,
    asked: Sender<()>,
    let_go: Mutex<Receiver<()>>,
}

impl SigningKey for Held {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        let _ = self.asked.send(());
        let _ = self.let_go.lock().unwrap().recv();
        self.key.sign(preimage)
    }
}

#[tokio::test]
async fn a_head_that_is_being_signed_is_none_of_what_is_written_meanwhile() {
    let place = Place::new();
    let ((asked, is_asked), (go, let_go)) = (channel(), channel());
    let key = Held { key: FileKey::from_seed([1; 32]), asked, let_go: Mutex::new(let_go) };
    let log = place.open_with(Arc::new(key));
    let mut heads = log.heads();
    log.record(vec![privileged()]).await.unwrap();
    is_asked.recv().unwrap();
    // A device that takes its time keeps no entry waiting.
    log.record(vec![privileged()]).await.unwrap();
    let seq = standing(&place).seq;
    let mut wish = pin!(log.sign_head());
    // It is asked for before the first head is signed.
    assert!(poll_fn(|context| Poll::Ready(wish.as_mut().poll(context).is_pending())).await);
    go.send(()).unwrap();
    assert!(heads.recv().await.unwrap().head.seq < seq);
    go.send(()).unwrap();
    assert!(heads.recv().await.unwrap().head.seq >= seq);
    assert!(wish.await.unwrap().head.seq >= seq);
}

#[test]
fn a_head_that_cannot_be_written_at_the_end_is_asked_for_no_more_than_once() {
    let place = Place::new();
    let ((asked, is_asked), (go, let_go)) = (channel(), channel());
    let key = Held { key: FileKey::from_seed([1; 32]), asked, let_go: Mutex::new(let_go) };
    let log = place.open_with(Arc::new(key));
    log.record_blocking(vec![privileged()]).unwrap();
    is_asked.recv().unwrap();
    std::fs::remove_file(&files(&place.log())[0]).unwrap();
    drop(go);
    drop(log);
    assert!(is_asked.recv().is_err(), "it was asked once");
}

#[test]
fn without_a_key_there_are_no_heads() {
    let place = Place::new();
    let log = place.open_without_key();
    log.record_blocking(vec![privileged()]).unwrap();
    assert!(!log.sign_head_blocking());
    drop(log);
    assert_eq!(verified(&place.log()).heads, 0);
}

#[test]
fn a_key_is_not_asked_for_a_head_that_cannot_be_written() {
    let (place, key) = (Place::new(), Away::new(ErrorKind::Away));
    let log = place.open_with(key.clone());
    std::fs::remove_file(&files(&place.log())[0]).unwrap();
    assert!(log.record_blocking(vec![privileged()]).is_err());
    assert!(!log.sign_head_blocking());
    drop(log);
    assert_eq!(key.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn two_processes_that_sign_in_turn_do_not_take_back_what_is_signed() {
    let place = Place::new();
    let (one, other) = (place.open(), place.open());
    one.record_blocking(vec![receipted(1)]).unwrap();
    other.record_blocking(vec![receipted(2)]).unwrap();
    assert!(other.sign_head_blocking());
    let signed = verified(&place.log()).signed.unwrap();
    // The first one knows only its own entries, and signs those.
    assert!(one.sign_head_blocking());
    assert_eq!(verified(&place.log()).signed, Some(signed));
}

#[test]
fn a_closed_log_takes_nothing() {
    let place = Place::new();
    let log = place.open();
    log.close();
    assert_eq!(log.record_blocking(vec![receipted(1)]), Err(AuditError::Closed));
    log.note(receipted(2));
    assert!(!log.sign_head_blocking());
    assert_eq!(verified(&place.log()).last, 1);
}
