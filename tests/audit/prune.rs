use std::fs;

use local_vault::audit::{AuditError, KnownHead, prunable, prune};
use local_vault::facts::Timestamp;

use super::log::Lines;
use super::support::{Place, files, finding, receipted, sample, verified};

/// After everything that is in a log.
const LATER: Timestamp = Timestamp::from_millis(i64::MAX);

/// A log of which all but the last file was pruned, and what it was before.
fn pruned() -> (Place, u64) {
    let place = sample();
    let pruned = prunable(&place.log(), LATER).unwrap().unwrap();
    assert_eq!(pruned.files, files(&place.log())[..pruned.files.len()]);
    prune(&place.open(), &place.log(), &pruned).unwrap();
    (place, pruned.through)
}

#[test]
fn a_pruned_log_verifies_and_goes_on() {
    let (place, through) = pruned();
    let seen = verified(&place.log());
    assert_eq!(seen.first, through + 1);
    place.open().record_blocking((0..9).map(receipted).collect()).unwrap();
    assert!(verified(&place.log()).last > seen.last + 9);
}

#[test]
fn a_pruned_log_knows_its_name_without_what_was_noted() {
    let (place, _) = pruned();
    let seen = verified(&place.log());
    fs::remove_file(place.folder.path().join("audit.id")).unwrap();
    fs::remove_file(place.log().join("end")).unwrap();
    place.open();
    assert_eq!(verified(&place.log()).log_id, seen.log_id);
}

#[test]
fn a_head_that_somebody_else_holds_is_compared_also_before_the_first_head_of_a_pruned_log() {
    let (place, _) = pruned();
    let seen = verified(&place.log());
    let hash = Lines::read(&place.log()).entry(1).hash;
    let known = KnownHead { log_id: seen.log_id.clone(), seq: seen.first, hash };
    let verify = |known| local_vault::audit::verify(&place.log(), &[], &[known], &mut |_| ());
    assert_eq!(verify(known.clone()).unwrap().known, 1);
    assert!(verify(KnownHead { hash: seen.hash, ..known }).is_err());
}

#[test]
fn what_nobody_pruned_is_found() {
    let place = sample();
    fs::remove_file(&files(&place.log())[0]).unwrap();
    assert_eq!(finding(&place.log()).seq, 1);
}

#[test]
fn more_than_was_pruned_is_found() {
    let (place, _) = pruned();
    place.open().record_blocking((0..9).map(receipted).collect()).unwrap();
    place.open().record_blocking((0..9).map(receipted).collect()).unwrap();
    let files = files(&place.log());
    assert!(files.len() > 1);
    fs::remove_file(&files[0]).unwrap();
    assert_eq!(finding(&place.log()).seq, 1);
}

#[test]
fn a_pruning_that_a_crash_ended_midway_verifies() {
    let place = sample();
    let mut pruned = prunable(&place.log(), LATER).unwrap().unwrap();
    assert!(pruned.files.len() > 1);
    pruned.files.truncate(1);
    prune(&place.open(), &place.log(), &pruned).unwrap();
    assert!(verified(&place.log()).first <= pruned.through);
}

#[test]
fn a_pruning_that_no_head_was_signed_over_is_found() {
    let place = sample();
    let pruned = prunable(&place.log(), LATER).unwrap().unwrap();
    let mut lines = Lines::read(&place.log());
    lines.forge_end(|object| {
        object.with("kind", "LogPruned").with("through", pruned.through).with("hash", pruned.hash.to_string())
    });
    lines.write();
    verified(&place.log());
    for file in &pruned.files {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(finding(&place.log()).seq, 1);
}

#[test]
fn nothing_is_taken_away_without_a_signed_head() {
    let place = sample();
    let pruned = prunable(&place.log(), LATER).unwrap().unwrap();
    assert!(prune(&place.open_without_key(), &place.log(), &pruned).is_err());
    assert!(pruned.files.iter().all(|file| file.exists()));
}

#[test]
fn what_is_not_old_enough_and_the_file_that_is_written_to_stay() {
    let place = sample();
    let first = Lines::read(&place.log()).entry(1).time;
    assert_eq!(prunable(&place.log(), first), Ok(None));
    let all = files(&place.log());
    let is_last = |pruned: &std::path::PathBuf| pruned == all.last().unwrap();
    assert!(!prunable(&place.log(), LATER).unwrap().unwrap().files.iter().any(is_last));
    // Also where a crash left an empty one behind it.
    fs::write(place.log().join(format!("{:08}.jsonl", all.len() + 1)), "").unwrap();
    assert!(!prunable(&place.log(), LATER).unwrap().unwrap().files.iter().any(is_last));
}

#[test]
fn a_log_that_was_changed_is_not_pruned() {
    let place = sample();
    let mut bytes = fs::read(&files(&place.log())[0]).unwrap();
    bytes[20] ^= 1;
    fs::write(&files(&place.log())[0], bytes).unwrap();
    assert!(matches!(prunable(&place.log(), LATER), Err(AuditError::Damaged { .. })));
}
