//! Keys that are made: one of a name, fit for its purpose, and printed as the config file wants them.

use std::thread;

use super::place::{Done, Place};

/// How many private, public and secret keys the token has under a label.
fn objects(place: &Place, label: &str) -> usize {
    let wanted = format!("label: {label}");
    let shown = place.softhsm.pkcs11_tool(&["--list-objects"]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    shown.lines().filter(|line| words(line) == wanted).count()
}

#[test]
fn a_label_that_is_taken_is_refused_and_nothing_changes() {
    let place = Place::new(&["relay", "wrapping"]);
    let before = place.softhsm.pkcs11_tool(&["--list-objects"]);
    let same = |purpose: &str, label: &str| {
        let done = place.run(&["custody", "generate", purpose, "--label", label]);
        assert_eq!(done.out, "");
        let what = format!("the token already holds an object with the label {label:?} (pkcs11: generate)");
        done.fails(
            77,
            &what,
            "Nothing was made or changed. Choose another one; `local-vault custody list` shows what is there.",
        );
    };
    same("relay", "local-vault-relay");
    // A name is taken whatever kind of object has it.
    same("source", "local-vault-wrapping");
    same("wrapping", "local-vault-relay");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&place.softhsm.pkcs11_tool(&["--list-objects"])), sorted(&before));
}

#[test]
fn ten_that_make_a_key_of_one_label_at_once_leave_one_or_none() {
    let place = Place::new(&[]);
    for (purpose, halves) in [("source", 2), ("wrapping", 1)] {
        let label = format!("local-vault-{purpose}");
        let runs: Vec<Done> = thread::scope(|scope| {
            let runs: Vec<_> = (0..10).map(|_| scope.spawn(|| place.run(&["custody", "generate", purpose]))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let made = runs.iter().filter(|done| done.code == Some(0)).count();
        assert!(made <= 1, "{runs:?}");
        assert!(runs.iter().all(|done| matches!(done.code, Some(0 | 69 | 77))), "{runs:?}");
        assert_eq!(objects(&place, &label), made * halves, "{runs:?}");
    }
}

#[test]
fn what_is_printed_can_be_pasted_and_serves() {
    let place = Place::new(&["source --algorithm es256 --label source-2026", "record", "wrapping --resident"]);
    place.attest("a");
    let report = place.ok(&["custody", "report"]);
    for part in ["ES256", "source-2026", "(pkcs11-aes-kw, device-resident)"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(place.ok(&["custody", "selftest"]).lines().skip(1).all(|line| line.contains(" ok")));
    let shown = place.ok(&["custody", "show", "source-2026"]);
    for attribute in ["CKA_SENSITIVE            yes", "CKA_EXTRACTABLE          no", "never left the token     yes"] {
        assert!(shown.contains(attribute), "{attribute}: {shown}");
    }
    let made = place.ok(&["custody", "generate", "witness", "--json"]);
    for name in ["algorithm", "id", "kid", "label", "public_key"] {
        assert!(made.contains(&format!("{name:?}: \"")), "{made}");
    }
}

#[test]
fn what_no_contract_allows_is_not_made() {
    let place = Place::new(&[]);
    let refused = |words: &[&str], what: &str, advice: &str| {
        place.run(&[["custody", "generate"].as_slice(), words].concat()).fails(64, what, advice);
    };
    let contract = "Their contracts with the platform know no other; es256 serves source and record.";
    for purpose in ["relay", "witness"] {
        refused(&[purpose, "--algorithm", "es256"], "relay and witness keys are Ed25519", contract);
    }
    let algorithm = "--algorithm is for a signing key";
    refused(&["wrapping", "--algorithm", "ed25519"], algorithm, "A wrapping key is AES-256.");
    let resident = "--resident is for a wrapping key";
    refused(&["record", "--resident"], resident, "Signing keys never leave the token.");
    let label = "a label has 1 to 32 bytes, without quotes and backslashes";
    for bad in ["", "a\"b", "a\\b", "a\nb", "123456789012345678901234567890123"] {
        refused(&["record", "--label", bad], label, "Choose another --label.");
    }
    assert_eq!(place.calls("C_Login"), 0);
}

#[test]
fn a_key_that_does_not_sign_is_destroyed_again() {
    let place = Place::new(&[]);
    place.plan("C_Sign FLIP");
    let done = place.run(&["custody", "generate", "source"]);
    assert_eq!((done.code, done.out.as_str()), (Some(65), ""), "{done:?}");
    let advice = done.err.lines().last().unwrap();
    assert!(advice.starts_with("The new key was destroyed again. "), "{done:?}");
    assert_eq!(objects(&place, "local-vault-source"), 0);
}
