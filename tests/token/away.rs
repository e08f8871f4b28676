//! Tokens that are pulled out, before and while something needs them.

use local_vault::protocol::json::Value;

use super::place::{Loop, Place};
use super::sandbox::wait_until;

const NOT_THERE: &str = "token \"edge-07\" is not there (pkcs11: find)";
const INSERT: &str = "The module shows no token. Insert or start the token, or mend custody.pkcs11.token_label.";

fn start(place: &Place) -> Loop {
    Loop::start(&mut place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]))
}

fn is_sent(line: &local_vault::protocol::json::Object) -> bool {
    line.get("sent") == Some(&Value::Bool(true))
}

/// What a loop told of itself: once that it is degraded, once that it has recovered, in this order.
#[track_caller]
fn degraded_and_recovered_once(said: &str) {
    let told: Vec<&str> = said.lines().filter(|line| line.contains("Degraded") || line.contains("Recovered")).collect();
    let [degraded, recovered] = told.as_slice() else { panic!("{said}") };
    assert!(degraded.starts_with("Degraded: ") && degraded.ends_with(". Nothing is lost; looking for it."), "{said}");
    assert_eq!(*recovered, "Recovered: events are signed again.");
}

fn stays_up_without_a_token_at_the_start(wrapping: &str) {
    let (place, sandbox) = Place::with_sandbox(wrapping);
    place.attest("a");
    place.softhsm.take_away();
    let relay = start(&place);
    for _ in 0..3 {
        let line = relay.next();
        assert_eq!((line.get_str("error"), line.get_str("eventId")), (Some("signing-key-unavailable"), None));
    }
    place.softhsm.put_back();
    relay.until(is_sent);
    let said = relay.end();
    degraded_and_recovered_once(&said);
    assert!(said.contains(&format!("Degraded: {NOT_THERE}. Nothing is lost")), "{said}");
    assert_eq!(sandbox.recorded_events().len(), 1);
}

#[test]
fn a_relay_stays_up_without_a_token_at_the_start() {
    stays_up_without_a_token_at_the_start("wrapping");
}

#[test]
fn a_relay_stays_up_without_a_token_at_the_start_whose_data_keys_are_resident() {
    stays_up_without_a_token_at_the_start("wrapping --resident");
}

fn goes_on_after_its_token_was_pulled_out(wrapping: &str) {
    let (place, sandbox) = Place::with_sandbox(wrapping);
    place.attest("a");
    // A plan of its own: it hangs while others sign.
    let mut command = place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]);
    let relay = Loop::start(command.env("LOCAL_VAULT_FAULTY_MODULE_PLAN", place.path("relay.plan")));
    relay.until(is_sent);
    place.write("relay.plan", "C_Sign HANG ONCE");
    ["b", "c", "d"].iter().for_each(|file| place.attest(file));
    place.softhsm.take_away();
    place.write("relay.plan", "");
    // What SoftHSM has in its memory it may still sign once.
    for _ in 0..2 {
        relay.until(|line| line.get_str("error") == Some("signing-key-unavailable"));
    }
    place.softhsm.put_back();
    wait_until(|| (place.count("receipted") == 4).then_some(()));
    // Out and in again between two sends, which nobody notices.
    place.softhsm.take_away();
    place.softhsm.put_back();
    place.attest("e");
    wait_until(|| (place.count("receipted") == 5).then_some(()));
    degraded_and_recovered_once(&relay.end());
    assert_eq!(sandbox.recorded_events().len(), 5);
    assert_eq!((place.count("queued"), place.count("dead")), (0, 0));
    let keys = ["relay", "source"].map(|purpose| format!("{purpose}={}", place.public_key(purpose)));
    place.ok(&["verify", "--all", "--public-key", &keys[0], "--public-key", &keys[1]]);
}

#[test]
fn a_relay_goes_on_after_its_token_was_pulled_out() {
    goes_on_after_its_token_was_pulled_out("wrapping");
}

#[test]
fn a_relay_goes_on_after_its_token_was_pulled_out_where_its_data_keys_are_resident() {
    goes_on_after_its_token_was_pulled_out("wrapping --resident");
}

#[test]
fn commands_without_their_token_are_69_and_nothing_is_lost() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    place.write("b", "beta");
    place.softhsm.take_away();
    for words in [["relay", "drain"], ["attest", "b"], ["spool", "rotate"], ["custody", "list"]] {
        place.run(&words).fails(69, NOT_THERE, INSERT);
    }
    // The published package has one code for everything.
    place.run(&["drain-once"]).fails(1, NOT_THERE, INSERT);
    // What needs no key needs no token.
    assert_eq!(place.count("queued"), 1);
    place.ok(&["spool", "stats"]);
    place.ok(&["relay", "status"]);
    let report = place.run(&["custody", "report"]);
    assert_eq!((report.code, report.out.contains(&place.public_key("relay"))), (Some(69), true), "{report:?}");
    place.softhsm.put_back();
    place.ok(&["attest", "b"]);
    place.ok(&["relay", "drain"]);
    assert_eq!((sandbox.recorded_events().len(), place.count("receipted")), (2, 2));
}
