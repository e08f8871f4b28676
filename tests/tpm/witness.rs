//! A witness whose state has its anchor in the TPM that holds its key.

use std::fs;

use local_vault::protocol::json;

use super::place::Place;

/// Submits checkpoint `number` and gives the exit code.
fn submit(place: &Place, number: u32) -> Option<i32> {
    let hash = |number: u32| format!("{number:064x}");
    let (id, text) = (format!("chk_{number}"), number.to_string());
    let stream = ["witness-checkpoint", "--tenant-id", "ten_1", "--stream-id", "str_1", "--checkpoint-id", &id];
    let (hash, previous) = (hash(number), hash(number - 1));
    let checkpoint =
        ["--checkpoint-seq-no", &text, "--checkpoint-hash", &hash, "--previous-checkpoint-hash", &previous];
    place.run(&[&stream[..], &checkpoint].concat()).code
}

#[test]
fn a_restored_state_is_behind_the_tpm_until_somebody_allows_it() {
    let place = Place::new(&["witness", "record", "wrapping"]);
    let witness = "[witness]\npath = \"witness.sqlite3\"\nfirst_use = \"accept\"\nanchor = \"tpm\"\n\n[custody]\n";
    place.reconfigure("[custody]\n", witness);
    assert_eq!(submit(&place, 1), Some(0));
    let copy = fs::read(place.path("witness.sqlite3")).unwrap();
    assert_eq!(submit(&place, 2), Some(0));
    fs::write(place.path("witness.sqlite3"), copy).unwrap();
    assert_eq!(submit(&place, 3), Some(1));

    let stands = place.run(&["witness", "reconcile", "--json"]);
    let told = json::parse(stands.out.as_bytes()).unwrap();
    assert_eq!((stands.code, told.get_str("incident")), (Some(77), Some("rollback-detected")), "{stands:?}");
    assert_eq!(told.get_str("anchorType"), Some("vtpm"));
    let allow = ["--accept", "rollback-detected", "--allowed-by", "alice", "--reason", "a disk failed"];
    place.ok(&[&["witness", "reconcile"], &allow[..]].concat());
    assert_eq!(submit(&place, 3), Some(0));

    fs::remove_file(place.path("witness.sqlite3")).unwrap();
    assert_eq!(submit(&place, 4), Some(1));
    let allow = ["--accept", "state-lost", "--allowed-by", "alice", "--reason", "it was deleted"];
    place.ok(&[&["witness", "reconcile"], &allow[..]].concat());
    assert_eq!((submit(&place, 4), submit(&place, 5)), (Some(0), Some(0)));
}
