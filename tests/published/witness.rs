use local_vault::protocol::json::{Object, Value};
use local_vault::protocol::witness::{verify_fork_evidence, verify_receipt};

use super::custody::{has_no_published_settings, is_only_for_files};
use super::home::{Home, Said, public_key};

pub(crate) fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// Submits a checkpoint of tenant `t`, stream `s`.
pub(crate) fn submit(home: &Home, number: &str, hash: &str, previous: Option<&str>) -> Said {
    let id = format!("cp{}", number.trim());
    let mut line = vec!["witness-checkpoint", "--tenant-id", "t", "--stream-id", "s", "--checkpoint-id", &id];
    line.extend(["--checkpoint-seq-no", number, "--checkpoint-hash", hash]);
    line.extend(previous.into_iter().flat_map(|previous| ["--previous-checkpoint-hash", previous]));
    home.run(&line)
}

/// The receipt of an accepted checkpoint, verified. The line must be as Python would write it.
#[track_caller]
fn receipt(said: &Said, replayed: bool) -> Object {
    let line = said.object();
    said.is(0, &(line.to_python_line() + "\n"));
    let receipt = line.get_object("receipt").unwrap().clone();
    let whole = Object::new()
        .with("accepted", true)
        .with("forkEvidence", Value::Null)
        .with("receipt", receipt.clone())
        .with("replayed", replayed);
    assert_eq!(line, whole);
    verify_receipt(&receipt, &public_key()).unwrap();
    receipt
}

/// The evidence of a refused checkpoint, verified.
#[track_caller]
fn evidence(said: &Said) -> Object {
    let line = said.object();
    said.is(0, &(line.to_python_line() + "\n"));
    let evidence = line.get_object("forkEvidence").unwrap().clone();
    let whole = Object::new()
        .with("accepted", false)
        .with("forkEvidence", evidence.clone())
        .with("receipt", Value::Null)
        .with("replayed", false);
    assert_eq!(line, whole);
    verify_fork_evidence(&evidence, &public_key()).unwrap();
    evidence
}

pub(crate) fn counts(home: &Home, forks: u32, receipts: u32) {
    home.run(&["witness-counts"]).is(0, &format!("{{\"forks\": {forks}, \"receipts\": {receipts}}}\n"));
}

#[test]
fn a_stream_is_followed_and_a_replay_gives_the_same_receipt() {
    let (home, a, b, c) = (Home::new(), hash('a'), hash('b'), hash('c'));
    counts(&home, 0, 0);
    let first = receipt(&submit(&home, "5", &a, Some(&b)), false);
    assert_eq!(receipt(&submit(&home, "5", &a, Some(&b)), true), first);
    assert_eq!(receipt(&submit(&home, "5", &a, None), true), first);
    receipt(&submit(&home, "6", &b, Some(&a)), false);
    receipt(&submit(&home, " 1_000 ", &c, Some(&b)), false);
    receipt(&submit(&home, "9223372036854775807", &a, Some(&c)), false);
    counts(&home, 0, 4);
}

#[test]
fn first_use_is_accepted_with_one_line_of_warning() {
    if has_no_published_settings() {
        return;
    }
    let warning = "one key signs for relay and witness, and a new stream is trusted on first use";
    let said = submit(&Home::new(), "1", &hash('a'), None);
    receipt(&said, false);
    assert!(said.one_line().contains(warning), "{}", said.err);
}

#[test]
fn what_does_not_extend_the_stream_is_fork_evidence() {
    let (home, a, b) = (Home::new(), hash('a'), hash('b'));
    receipt(&submit(&home, "5", &a, None), false);
    for (number, previous) in [("5", None), ("6", None), ("6", Some(&b)), ("4", Some(&a))] {
        let evidence = evidence(&submit(&home, number, &b, previous.map(String::as_str)));
        assert_eq!(evidence.get_object("evidence").unwrap().get_str("last_checkpoint_hash"), Some(a.as_str()));
    }
    counts(&home, 4, 1);
}

#[test]
fn a_malformed_checkpoint_ends_with_1_and_changes_nothing() {
    let (home, a) = (Home::new(), hash('a'));
    for number in ["0", "-5", "-0", "9223372036854775808", "100000000000000000000000000000000000000000"] {
        submit(&home, number, &a, None).is(1, "");
    }
    for bad in ["", "a", &hash('A'), &hash('g')] {
        submit(&home, "1", bad, None).is(1, "");
        submit(&home, "1", &a, Some(bad)).is(1, "");
    }
    counts(&home, 0, 0);
}

#[test]
fn a_number_that_is_none_ends_with_2() {
    let home = Home::new();
    for number in ["", "five", "5.0", "0x5", "_9", &"1".repeat(4301)] {
        submit(&home, number, &hash('a'), None).is(2, "");
    }
    home.run(&["witness-counts", "x"]).is(2, "");
}

#[test]
fn a_missing_setting_ends_with_1() {
    for name in ["WITNESS_ID", "KEY_ID", "SIGNING_KEY"] {
        submit(&Home::new().without(name), "1", &hash('a'), None).is(1, "");
        submit(&Home::new().with(name, ""), "1", &hash('a'), None).is(1, "");
    }
}

#[test]
fn the_witness_needs_no_encryption_key_and_the_counts_no_key() {
    let home = Home::new().without("ENCRYPTION_KEY");
    receipt(&submit(&home, "1", &hash('a'), None), false);
    counts(&home.without("SIGNING_KEY").without("WITNESS_ID").without("KEY_ID"), 0, 1);
}

#[test]
fn every_published_form_of_the_signing_key_is_the_same_key() {
    if is_only_for_files("it is about the text of a key") {
        return;
    }
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    let upper = format!("\t{}\r\n", super::home::SIGNING_KEY.to_uppercase());
    for form in [base64, &upper] {
        receipt(&submit(&Home::new().with("SIGNING_KEY", form), "1", &hash('a'), None), false);
    }
    for form in ["  ", "x", &super::home::SIGNING_KEY[1..], base64.trim_end().trim_end_matches('=')] {
        submit(&Home::new().with("SIGNING_KEY", form), "1", &hash('a'), None).is(1, "");
    }
}
