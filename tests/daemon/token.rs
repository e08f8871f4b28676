//! A token that is away, or hangs, and comes back.

use rustix::process::Signal;

use super::place::Place;
use super::service::{Service, service};

const NOT_THERE: &str = "token \"edge-07\" is not there (pkcs11: find)";

fn start(place: &Place) -> Service {
    Service::start(&mut place.command(&["run"]), &place.path("spool.sqlite3.sock"))
}

fn log_at_info(place: &Place) {
    place.reconfigure("[custody]\n", "[log]\nlevel = \"info\"\n\n[custody]\n");
}

#[test]
fn a_service_starts_without_its_token_and_comes_back_with_it() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    log_at_info(&place);
    place.softhsm.take_away();
    let running = start(&place);
    let status = running.until_state("degraded");
    assert_eq!(status.get_str("reason"), Some(NOT_THERE));
    assert_eq!(service(&status, "custody_up"), &false.into());
    let refused = running.submit("r-1");
    assert_eq!((refused.status, refused.code().as_str()), (503, "custody_away"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(place.run(&["status"]).code, Some(69));

    place.softhsm.put_back();
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    let attested = running.client().event(r#"{"stream_id":"s","source_ref":"r-2","content":"YWxwaGE="}"#);
    assert_eq!(attested.status, 201);
    running.until_events("receipted", 2);
    assert_eq!(sandbox.recorded_events().len(), 2);
    let said = running.end();
    assert_eq!((said.matches(" degraded ").count(), said.matches("recovered").count()), (1, 1), "{said}");
}

#[test]
fn what_was_spooled_waits_for_a_token_that_was_pulled_out() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    let running = start(&place);
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    running.until_events("receipted", 1);
    place.plan("C_Sign CKR 0x32");
    place.softhsm.take_away();
    // The spool's own keys are in memory: what is not to be signed is taken in.
    assert_eq!(running.submit("r-2").status, 201);
    let status = running.until_state("degraded");
    assert_eq!(status.get_str("reason"), Some("the signing key is away"));
    place.softhsm.put_back();
    place.plan("");
    running.until_events("receipted", 2);
    running.until_state("ok");
    running.end();
}

#[test]
fn a_token_that_hangs_is_told_of_and_holds_up_neither_the_answers_nor_the_end() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    place.plan("C_Login HANG");
    let running = start(&place);
    let status = running.until_state("degraded");
    assert_eq!(status.get_str("reason"), Some("a device or the disk does not answer"));
    assert_eq!(running.submit("r").status, 503);
    running.signal(Signal::TERM);
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}
