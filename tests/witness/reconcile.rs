//! What an operator does after an incident, with the real binary and a floor on what stands for another disk.

use std::fs;
use std::sync::Arc;

use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::{Purpose, PurposeKey, SharedSigningKey};
use local_vault::protocol::json::Value;
use local_vault::witness::{FloorFile, Request, Setup, SignedFloor, WitnessError};

use super::place::Place;
use super::witness::{checkpoint, rival, setup, signer, submit_request};

const FLOOR: &str = "anchor = \"rewritable\"\nfloor_file = \"floor.json\"";

/// A witness that has accepted two checkpoints, and its state as it was after the first.
fn restored() -> Place {
    let place = Place::new(FLOOR);
    place.accepts(&checkpoint(1, None));
    let copy = place.copy();
    place.accepts(&checkpoint(2, Some(1)));
    place.restore(&copy);
    place
}

#[test]
fn a_witness_that_may_sign_is_0_and_nothing_is_to_be_accepted() {
    let place = Place::new(FLOOR);
    let begun = place.reconcile(&["--json"]);
    assert_eq!((begun.code, begun.object().get("state").unwrap() == &Value::Null), (Some(0), true), "{begun:?}");
    assert!(!place.path("witness.sqlite3").exists(), "a look begins nothing");
    place.accepts(&checkpoint(1, None));
    let said = place.reconcile(&["--json"]);
    let object = said.object();
    assert_eq!((said.code, object.get("maySign").unwrap().as_bool()), (Some(0), Some(true)), "{said:?}");
    assert_eq!((object.get_str("anchorType"), object.get_str("incident")), (Some("rewritable"), None));
    assert_eq!(object.get_object("state"), object.get_object("anchor"));
    let refused = place.accept("rollback-detected", &[]);
    assert!(refused.code == Some(64) && refused.err.contains("there is no incident"), "{refused:?}");
}

#[test]
fn a_restored_state_goes_on_after_its_own_incident_alone() {
    let place = restored();
    let said = place.reconcile(&[]);
    assert_eq!(said.code, Some(77), "{said:?}");
    assert!(said.out.contains("incident  rollback-detected: rollback detected"), "{said:?}");
    let other = place.accept("state-lost", &[]);
    assert!(other.code == Some(77) && other.err.contains("the incident is rollback-detected"), "{other:?}");
    assert_eq!(place.submit(&rival(2, Some(1))).code, Some(1));

    let accepted = place.accept("rollback-detected", &[]);
    assert_eq!((accepted.code, accepted.out.as_str()), (Some(0), "accepted rollback-detected, allowed by alice\n"));
    assert_eq!(place.reconcile(&[]).code, Some(0));
    place.accepts(&checkpoint(3, Some(1)));
    let records = rusqlite::Connection::open(place.path("witness.sqlite3")).unwrap();
    let sql = "SELECT CAST(body AS TEXT) FROM records WHERE kind = 'reconciled'";
    let body: String = records.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(body.contains("alice") && body.contains("a disk failed"), "{body}");
}

#[test]
fn after_it_was_accepted_an_older_copy_is_refused_as_before() {
    let place = restored();
    let copy = place.copy();
    assert_eq!(place.accept("rollback-detected", &[]).code, Some(0));
    place.restore(&copy);
    let said = place.reconcile(&["--json"]);
    assert_eq!((said.code, said.object().get_str("incident")), (Some(77), Some("rollback-detected")));
}

#[test]
fn a_lost_state_is_begun_anew_once_it_is_allowed_and_takes_the_anchor_over() {
    let place = restored();
    place.lose();
    let said = place.reconcile(&["--json"]);
    assert_eq!((said.code, said.object().get_str("incident")), (Some(77), Some("state-lost")), "{said:?}");
    assert_eq!(place.accept("state-lost", &[]).code, Some(0));
    assert_eq!(place.reconcile(&[]).code, Some(0));
    place.accepts(&checkpoint(3, Some(2)));
}

#[test]
fn a_damaged_state_cannot_be_accepted_and_is_a_lost_one_once_it_is_moved_away() {
    let place = restored();
    let mut damaged = place.copy();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0x5a);
    place.restore(&damaged);
    let refused = place.accept("state-damaged", &[]);
    assert!(refused.code == Some(77) && refused.err.contains("never signed on"), "{refused:?}");
    fs::rename(place.path("witness.sqlite3"), place.path("aside")).unwrap();
    place.lose();
    assert_eq!(place.accept("state-lost", &[]).code, Some(0));
    place.accepts(&checkpoint(3, Some(2)));
}

#[test]
fn who_allows_it_and_why_must_be_said() {
    let place = restored();
    let said = place.reconcile(&["--accept", "rollback-detected", "--allowed-by", "alice"]);
    assert_eq!(said.code, Some(64), "{said:?}");
    assert_eq!(place.reconcile(&[]).code, Some(77));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_was_stopped_goes_on_after_what_stopped_it() {
    let place = Place::new(FLOOR);
    let elsewhere = Place::new("rollback = \"accepted\"");
    place.accepts(&checkpoint(1, None));
    let said = elsewhere.submit(&checkpoint(5, None)).object();
    let receipt = said.get_object("receipt").unwrap().clone();
    let key: SharedSigningKey = Arc::new(FileKey::from_seed([0x11; 32]));
    let floor = PurposeKey::bind(Purpose::Witness, "witness-1", key.clone()).unwrap();
    let floor = SignedFloor::new(Box::new(FloorFile(place.path("floor.json"))), "ins_1", vec![floor]);
    let as_configured = Setup {
        wrapping: Some(Arc::new(RootKey::new(&mut { *b"0123456789abcdef0123456789abcdef" }))),
        anchor: Some(Arc::new(floor)),
        ..setup(signer("witness-1", key))
    };
    let shown = Request { known: vec![receipt], ..Request::new(checkpoint(2, Some(1)), "operator") };
    let refused = submit_request(&place.path("witness.sqlite3"), as_configured, shown).await;
    assert!(matches!(refused, Err(WitnessError::Incident(_))), "{refused:?}");

    let said = place.reconcile(&[]);
    assert!(said.code == Some(77) && said.out.contains("incident  own-signature-ahead\n"), "{said:?}");
    assert_eq!(place.submit(&checkpoint(2, Some(1))).code, Some(1));
    assert_eq!(place.accept("rollback-detected", &[]).code, Some(77));
    assert_eq!(place.accept("own-signature-ahead", &[]).code, Some(0));
    place.accepts(&checkpoint(2, Some(1)));
    assert_eq!(place.reconcile(&[]).code, Some(0));
}
