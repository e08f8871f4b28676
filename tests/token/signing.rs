//! Devices that answer, and answer wrongly or late.

use local_vault::protocol::json::{self, Value};

use super::place::{Loop, Place};
use super::sandbox::wait_until;

/// CKR_DEVICE_ERROR, CKR_DEVICE_REMOVED, CKR_FUNCTION_FAILED, CKR_SESSION_COUNT.
const DEVICE_ERROR: &str = "CKR 0x30";
const DEVICE_REMOVED: &str = "CKR 0x32";
const FUNCTION_FAILED: &str = "CKR 0x6";
const SESSION_COUNT: &str = "CKR 0xb1";

#[test]
fn a_device_that_signs_something_else_is_found_out_before_anything_leaves() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    place.plan("C_Sign FLIP");
    let relay = place.member("custody.keys.relay", "id");
    place.run(&["relay", "drain"]).fails(
        65,
        &format!("the key \"local-vault-relay\" (id {relay}) does not sign as its public key says (pkcs11: self-test)"),
        "Nothing was signed with it. Check public_key, and that the token is the one enrolled.",
    );
    // Well as long as it is tried, and lying from then on.
    place.plan("C_Sign FLIP FROM 3");
    let drain = place.run(&["relay", "drain"]);
    drain.fails(
        69,
        "the signing key gave no signature (signing-key-unavailable)",
        "Nothing is lost. The log tells why; `local-vault custody selftest` tries each key.",
    );
    assert!(drain.err.contains("no signature error=\"broken (custody: verify)\""), "{drain:?}");
    assert!(sandbox.record().is_empty());
    assert_eq!(place.count("queued"), 1);

    place.plan("");
    place.ok(&["relay", "drain"]);
    assert_eq!(sandbox.recorded_events().len(), 1);
}

#[test]
fn a_device_that_signs_once_and_fails_the_second_time_is_refused() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    // What OP-TEE's PKCS#11 TA did (its issue 7686).
    place.plan(&format!("C_Sign {FUNCTION_FAILED} FROM 2"));
    place.run(&["attest", "a"]).fails(
        65,
        "token \"edge-07\" failed (C_Sign: CKR_FUNCTION_FAILED)",
        "Run: local-vault custody selftest",
    );
    assert!(!place.path("spool.sqlite3").exists(), "nothing was spooled");
    let selftest = place.run(&["custody", "selftest"]);
    assert_eq!(selftest.code, Some(65), "{selftest:?}");
    assert!(selftest.out.contains("failed"), "{selftest:?}");
}

#[test]
fn a_single_error_of_the_device_is_recovered_from_without_a_word() {
    let place = Place::new(&["source", "record", "wrapping --resident"]);
    for (n, fault) in ["C_Sign", "C_SignInit", "C_Decrypt"].iter().enumerate() {
        place.plan(&format!("{fault} {DEVICE_ERROR} ONCE"));
        place.attest(&format!("file-{n}"));
    }
    assert_eq!(place.count("queued"), 3);
    assert_eq!(place.calls("C_Login"), 6, "each was logged in to twice");
}

#[test]
fn a_token_with_few_sessions_serves_all_the_same() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    for plan in [
        "C_GetTokenInfo SESSIONS 2".to_owned(),
        // What is said and what there is are two things; other programs have sessions too.
        format!("C_OpenSession {SESSION_COUNT} FROM 3"),
    ] {
        place.plan(&plan);
        for n in 0..20 {
            place.write(&format!("{n}"), format!("{plan} {n}"));
        }
        let files: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let words: Vec<&str> = ["attest"].into_iter().chain(files.iter().map(String::as_str)).collect();
        place.ok(&words);
    }
    place.ok(&["relay", "drain"]);
    assert_eq!(sandbox.recorded_events().len(), 40);
}

#[test]
fn what_a_token_warns_of_on_its_own_thread_names_the_event_and_the_request() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    // The relay's own signature, behind the two by which its key is tried; then again, and refused.
    place.plan(&format!("C_Sign {DEVICE_REMOVED} ONCE FROM 3\nC_Sign {DEVICE_ERROR} FROM 4"));
    let done = place.run(&["--log-format", "json", "drain-once"]);
    let log: Vec<_> = done.err.lines().map(|line| json::parse(line.as_bytes()).unwrap()).collect();
    let spoken: Vec<_> =
        log.iter().map(|line| line.get_object("fields").unwrap().get_str("message").unwrap()).collect();
    assert_eq!(spoken[0], "the token does not answer; looking for it again", "{done:?}");
    assert_eq!(spoken.last(), Some(&"no signature"), "{done:?}");
    for line in &log {
        let span = line.get_object("span").unwrap_or_else(|| panic!("{line:?}"));
        let (event, request) = (span.get_str("event").unwrap(), span.get_str("request").unwrap());
        assert!(event.starts_with("lv_") && request == format!("{event}.1"), "{line:?}");
    }
    assert!(!done.err.contains("local-vault-relay"), "the label of the key: {done:?}");
}

#[test]
fn a_token_without_a_single_session_is_an_error_and_not_a_wait() {
    let place = Place::new(&["source"]);
    place.plan(&format!("C_OpenSession {SESSION_COUNT} FROM 2"));
    let done = place.run(&["custody", "list"]);
    assert!(matches!(done.code, Some(65 | 69)), "{done:?}");
    assert!(done.err.contains("(C_OpenSession: CKR_SESSION_COUNT)"), "{done:?}");
}

/// Takes as long as the signer's deadline, ten seconds, which nothing configures.
#[test]
fn a_signature_that_hangs_misses_its_deadline_and_the_relay_goes_on() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    // The first of the relay's own, behind the two by which its key is tried.
    place.plan("C_Sign HANG ONCE FROM 3");
    let relay = Loop::start(&mut place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]));
    assert_eq!(relay.next().get_str("error"), Some("signing-key-unavailable"));
    // Another thread of the signer has the event's next signature, though the first one still hangs.
    assert_eq!(relay.next().get("sent"), Some(&Value::Bool(true)));
    place.plan("");
    wait_until(|| (place.count("receipted") == 1).then_some(()));
    let said = relay.end();
    assert_eq!(sandbox.recorded_events().len(), 1);
    assert_eq!(said.matches("Degraded:").count(), 1, "{said}");
    assert_eq!(said.matches("Recovered:").count(), 1, "{said}");
}
