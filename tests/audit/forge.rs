//! Somebody who may write to the files, computes all hashes anew, and has no key.

use std::fs;

use local_vault::audit::{Finding, KnownHead, Verified, VerifyError, verify};
use local_vault::custody::SigningKey as _;
use local_vault::custody::file::FileKey;

use super::log::Lines;
use super::support::{Place, SHORT, copy, finding, open, receipted, record_key, sample, verified};

/// How the log stands now, as somebody else keeps it.
fn known(seen: &Verified) -> KnownHead {
    KnownHead { log_id: seen.log_id.clone(), seq: seen.last, hash: seen.hash }
}

fn found(place: &Place, known: &[KnownHead]) -> Finding {
    match verify(&place.log(), &[], known, &mut |_| ()) {
        Err(VerifyError::Found(finding)) => finding,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_before_a_signed_head_that_is_forged_with_all_hashes_is_found_at_that_head() {
    let place = sample();
    let mut lines = Lines::read(&place.log());
    let heads: Vec<_> = lines.entries().into_iter().filter(|entry| entry.kind == "HeadSigned").collect();
    for seq in 2..lines.count() {
        let entry = lines.entry(seq);
        if entry.kind != "Receipted" && entry.kind != "Refused" {
            continue;
        }
        let mut changed = lines.clone();
        changed.forge(seq, |object| object.with("status", 500_i64));
        changed.write();
        let covers = |head: &&local_vault::protocol::audit::Entry| {
            head.object.get("head_seq").and_then(|head| head.as_i64()).is_some_and(|head| head >= seq as i64)
        };
        assert_eq!(finding(&place.log()).seq, heads.iter().find(covers).unwrap().seq, "entry {seq}");
    }
}

#[test]
fn what_is_forged_behind_the_last_head_is_told_by_how_far_it_is_signed() {
    let place = sample();
    let before = verified(&place.log());
    let mut lines = Lines::read(&place.log());
    lines.forge_end(|object| object.with("kind", "Receipted"));
    lines.write();
    let seen = verified(&place.log());
    assert_eq!(seen.last, before.last + 1);
    assert_eq!(seen.signed, before.signed);
    assert!(seen.signed.unwrap().0 < before.last);
}

#[test]
fn an_old_head_that_is_repeated_at_the_end_signs_no_more_and_no_less() {
    let place = sample();
    let before = verified(&place.log());
    let mut lines = Lines::read(&place.log());
    let head = lines.entries().into_iter().find(|entry| entry.kind == "HeadSigned").unwrap();
    let seq = lines.count() as u64 + 1;
    lines.forge_end(|_| head.object.with("seq", seq));
    lines.write();
    assert_eq!(verified(&place.log()).signed, before.signed);
}

#[test]
fn a_head_of_what_is_yet_to_come_is_found() {
    let place = sample();
    let mut lines = Lines::read(&place.log());
    let (at, head) = (2, lines.entry(lines.count()));
    lines.forge(at, |_| head.object.with("seq", at as u64));
    lines.write();
    assert_eq!(finding(&place.log()).seq, at as u64);
}

#[test]
fn a_head_that_was_moved_to_another_log_is_found() {
    let (place, other) = (sample(), sample());
    let head = Lines::read(&other.log()).entries().into_iter().find(|entry| entry.kind == "HeadSigned").unwrap();
    let mut lines = Lines::read(&place.log());
    let seq = lines.count() as u64 + 1;
    lines.forge_end(|_| head.object.with("seq", seq));
    lines.write();
    let found = finding(&place.log());
    assert_eq!((found.seq, found.what.as_str()), (seq, "the head is that of another log"));
}

#[test]
fn a_head_by_a_key_that_is_not_trusted_is_found() {
    let place = sample();
    let own = FileKey::from_seed([1; 32]).public_key().clone();
    let others = FileKey::from_seed([2; 32]).public_key().clone();
    let seen = verify(&place.log(), std::slice::from_ref(&own), &[], &mut |_| ()).unwrap();
    assert_eq!(seen.keys, std::slice::from_ref(&own));
    // Somebody who has another key signs with that.
    let log = open(&place.log(), SHORT, Some(record_key(2))).unwrap();
    assert!(log.sign_head_blocking());
    drop(log);
    let VerifyError::Found(found) = verify(&place.log(), std::slice::from_ref(&own), &[], &mut |_| ()).unwrap_err()
    else {
        panic!("it was read");
    };
    assert_eq!(found.seq, seen.last + 1);
    assert_eq!(verified(&place.log()).keys, [own, others]);
}

#[test]
fn a_folder_put_back_to_an_earlier_copy_is_found_by_a_head_that_somebody_else_holds_and_not_without() {
    let place = sample();
    let earlier = copy(&place);
    place.open().record_blocking(vec![receipted(7)]).unwrap();
    let head = known(&verified(&place.log()));
    fs::remove_dir_all(place.log()).unwrap();
    fs::rename(earlier.log(), place.log()).unwrap();

    let seen = verified(&place.log());
    assert_eq!(found(&place, &[head.clone(), known(&seen)]).seq, seen.last + 1);
    // Also where it has grown beyond that since.
    let log = place.open();
    (0..9).for_each(|n| log.record_blocking(vec![receipted(n)]).unwrap());
    drop(log);
    verified(&place.log());
    assert_eq!(found(&place, &[known(&seen), head.clone()]).seq, head.seq);
}

#[test]
fn heads_that_somebody_else_holds_are_counted_from_the_first_entry_on() {
    let place = sample();
    let seen = verified(&place.log());
    let entries = Lines::read(&place.log()).entries();
    let head = |seq: usize| KnownHead { seq: seq as u64, hash: entries[seq - 1].hash, ..known(&seen) };
    let heads: Vec<_> = [entries.len(), 1, 3, 3].map(head).to_vec();
    assert_eq!(verify(&place.log(), &[], &heads, &mut |_| ()).unwrap().known, 4);
    let other = KnownHead { log_id: "log_other".into(), ..head(2) };
    assert_eq!(verify(&place.log(), &[], &[other], &mut |_| ()).unwrap().known, 0);
    for seq in 1..=entries.len() {
        let wrong = KnownHead { hash: head(seq % entries.len() + 1).hash, ..head(seq) };
        assert_eq!(found(&place, &[wrong]).seq, seq as u64);
    }
}
