//! The published settings name a token by the environment alone.

use std::process::Command;

use local_vault::protocol::json::{self, Object};

use super::place::{Done, INSTALLATION, LABEL, Place};
use super::sandbox::Sandbox;

/// 32 bytes in the published form.
const ENCRYPTION_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The command with the published settings, and no config file.
fn published(place: &Place, sandbox: Option<&Sandbox>, words: &[&str]) -> Command {
    let mut command = place.without_config(words);
    let settings = [
        ("SIGNING_PROVIDER", "pkcs11".to_owned()),
        ("PKCS11_MODULE", place.shown("module.so")),
        ("PKCS11_TOKEN_LABEL", LABEL.to_owned()),
        ("PKCS11_KEY_LABEL", "local-vault-relay".to_owned()),
        ("PKCS11_PIN_FILE", place.shown("token.pin")),
        ("ENCRYPTION_KEY", ENCRYPTION_KEY.to_owned()),
        ("KEY_ID", "k1".to_owned()),
        ("INSTALLATION_ID", INSTALLATION.to_owned()),
        ("SPOOL_DB", place.shown("published.sqlite3")),
    ];
    set(&mut command, &settings);
    if let Some(sandbox) = sandbox {
        let receiver =
            [("RELAY_URL", sandbox.url().to_owned()), ("CA_FILE", sandbox.ca_file().to_str().unwrap().to_owned())];
        set(&mut command, &receiver);
    }
    command
}

fn set(command: &mut Command, settings: &[(&str, String)]) {
    command.envs(settings.iter().map(|(name, value)| (format!("ATTESTO_LOCAL_VAULT_{name}"), value)));
}

const ENQUEUE: [&str; 7] = ["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "payload.json"];

#[test]
fn enqueue_and_drain_deliver_with_a_signature_of_the_token() {
    let place = Place::new(&["relay"]);
    place.write("payload.json", "{\"a\":1}");
    let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
    let queued: Object = json::parse(Done::of(&mut published(&place, None, &ENQUEUE)).ok().as_bytes()).unwrap();
    assert_eq!(queued.get_str("status"), Some("queued"));
    assert_eq!(place.calls("C_Login"), 0, "who only enqueues needs no token");
    let sent = Done::of(&mut published(&place, Some(&sandbox), &["drain-once"])).ok();
    let id = queued.get_str("eventId").unwrap();
    assert_eq!(sent, format!("{{\"error\": null, \"eventId\": \"{id}\", \"sent\": true, \"statusCode\": 201}}\n"));
    let event = &sandbox.recorded_events()[0];
    assert!(String::from_utf8(event.to_canonical()).unwrap().contains(&place.public_key("relay")), "{event:?}");
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    let place = Place::new(&["relay"]);
    let mut command = published(&place, None, &["relay", "drain"]);
    for name in ["MODULE", "TOKEN_LABEL", "KEY_LABEL", "PIN_FILE"] {
        command.env_remove(format!("ATTESTO_LOCAL_VAULT_PKCS11_{name}"));
    }
    let done = Done::of(&mut command);
    assert_eq!(done.code, Some(78));
    for name in ["MODULE", "TOKEN_LABEL", "KEY_LABEL", "PIN_FILE"] {
        let line =
            format!("ATTESTO_LOCAL_VAULT_PKCS11_{name} is required with ATTESTO_LOCAL_VAULT_SIGNING_PROVIDER=pkcs11");
        assert!(done.err.contains(&line), "{done:?}");
    }
}

#[test]
fn a_variable_that_contradicts_the_config_file_is_78() {
    let place = Place::new(&["relay", "record", "wrapping"]);
    let run = |name: &str, value: &str| {
        let mut command = place.command(&["custody", "list"]);
        set(&mut command, &[(name, value.to_owned())]);
        Done::of(&mut command)
    };
    let other = [
        ("SIGNING_PROVIDER", "software", "custody.backend"),
        ("PKCS11_MODULE", "/other.so", "custody.pkcs11.module"),
        ("PKCS11_TOKEN_LABEL", "edge-08", "custody.pkcs11.token_label"),
        ("PKCS11_KEY_LABEL", "another", "custody.keys.relay.label"),
        ("PKCS11_PIN_FILE", "/other.pin", "custody.pkcs11.pin_file"),
    ];
    for (name, value, key) in other {
        let done = run(name, value);
        assert_eq!(done.code, Some(78), "{name}: {done:?}");
        assert!(done.err.contains(name) && done.err.contains(key) && done.err.contains("contradicts"), "{done:?}");
        assert!(!done.err.contains(value) || value == "software", "{done:?}");
    }
    let same = [
        ("SIGNING_PROVIDER", "pkcs11".to_owned()),
        ("PKCS11_MODULE", place.shown("module.so")),
        ("PKCS11_TOKEN_LABEL", LABEL.to_owned()),
        ("PKCS11_KEY_LABEL", "local-vault-relay".to_owned()),
        ("PKCS11_PIN_FILE", place.shown("token.pin")),
    ];
    for (name, value) in same {
        run(name, &value).ok();
    }
    // A config file without a token is not led to one by the environment.
    let head = place.config().split_once("[custody]").unwrap().0.to_owned();
    place.write("local-vault.toml", head);
    for (name, value) in [("SIGNING_PROVIDER", "pkcs11".to_owned()), ("PKCS11_MODULE", place.shown("module.so"))] {
        let done = run(name, &value);
        assert_eq!(done.code, Some(78), "{name}: {done:?}");
        assert!(done.err.contains(name), "{done:?}");
    }
}

#[test]
fn a_token_that_is_away_does_not_end_the_loop_of_the_published_settings() {
    use super::place::Loop;
    let place = Place::new(&["relay"]);
    place.write("payload.json", "{}");
    let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
    Done::of(&mut published(&place, None, &ENQUEUE)).ok();
    place.softhsm.take_away();
    let words = ["drain-loop", "--idle-sleep-seconds", "0.05"];
    let relay = Loop::start(&mut published(&place, Some(&sandbox), &words));
    assert_eq!(relay.next().get_str("error"), Some("signing-key-unavailable"));
    place.softhsm.put_back();
    relay.until(|line| line.get("sent") == Some(&true.into()));
    let said = relay.end();
    assert_eq!((said.matches("Degraded: ").count(), said.matches("Recovered: ").count()), (1, 1), "{said}");
}
