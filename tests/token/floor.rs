//! The witness's floor in a data object of the token, beside its key.

use std::fs;

use super::place::{Done, Place};

const OBJECTS: [&str; 3] = ["--list-objects", "--type", "data"];

fn place() -> Place {
    let place = Place::new(&["witness", "record", "wrapping"]);
    let witness = "[witness]\npath = \"witness.sqlite3\"\nfirst_use = \"accept\"\nanchor = \"rewritable\"\n\
                   floor_object = \"local-vault-floor\"\n\n[custody]\n";
    place.reconfigure("[custody]\n", witness);
    place
}

fn submit(place: &Place, number: i64) -> Done {
    let (id, number, hash) = (format!("chk_{number}"), number.to_string(), format!("{number:064x}"));
    let stream = ["witness-checkpoint", "--tenant-id", "ten_1", "--stream-id", "str_1", "--checkpoint-id", &id];
    let previous = number.parse::<i64>().unwrap() - 1;
    let previous = format!("{previous:064x}");
    let checkpoint = ["--checkpoint-seq-no", &number, "--checkpoint-hash", &hash];
    let words = [&stream[..], &checkpoint, &["--previous-checkpoint-hash", &previous]].concat();
    place.run(&words)
}

fn accepts(place: &Place, number: i64) {
    assert!(submit(place, number).ok().contains("\"accepted\": true"));
}

/// How many floors the token holds.
fn floors(place: &Place) -> usize {
    place.softhsm.pkcs11_tool(&OBJECTS).matches("local-vault-floor").count()
}

/// What `witness reconcile` says of it, and its exit code.
fn stands(place: &Place) -> (Option<i32>, String) {
    let done = place.run(&["witness", "reconcile"]);
    (done.code, done.out)
}

#[test]
fn a_restored_state_is_behind_the_floor_in_the_token() {
    let place = place();
    accepts(&place, 1);
    let copy = fs::read(place.path("witness.sqlite3")).unwrap();
    accepts(&place, 2);
    assert_eq!(floors(&place), 1);
    fs::write(place.path("witness.sqlite3"), copy).unwrap();
    assert_eq!(submit(&place, 2).code, Some(1));
    let (code, said) = stands(&place);
    assert!(code == Some(77) && said.contains("rollback-detected") && said.contains("(rewritable)"), "{said}");
}

#[test]
fn a_crash_between_the_new_floor_and_the_old_one_leaves_the_new_one() {
    let place = place();
    accepts(&place, 1);
    place.plan("C_DestroyObject CKR 0x30");
    assert_eq!(submit(&place, 2).code, Some(1));
    assert_eq!(floors(&place), 2);
    place.plan("");
    assert_eq!(stands(&place).0, Some(0));
    accepts(&place, 3);
    assert_eq!(floors(&place), 1);
}

#[test]
fn a_floor_that_the_token_does_not_take_is_no_signature() {
    let place = place();
    accepts(&place, 1);
    place.plan("C_CreateObject CKR 0x30");
    let refused = submit(&place, 2);
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    place.plan("");
    // It was decided, and is signed now: the floor follows first.
    assert!(submit(&place, 2).ok().contains("\"replayed\": true"));
    assert_eq!((stands(&place).0, floors(&place)), (Some(0), 1));
}

#[test]
fn without_its_token_nothing_is_signed_and_nothing_is_lost() {
    let place = place();
    accepts(&place, 1);
    place.softhsm.take_away();
    let refused = submit(&place, 2);
    assert!(refused.code == Some(1) && refused.err.contains("is not there"), "{refused:?}");
    assert_eq!(place.run(&["witness", "reconcile"]).code, Some(69));
    place.softhsm.put_back();
    accepts(&place, 2);
}
