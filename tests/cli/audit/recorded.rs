use local_vault::protocol::json::{Object, Value};

use super::super::vault::Vault;
use super::{entries, kind, number, verified};

/// The entries about commands.
fn commands(vault: &Vault) -> Vec<Object> {
    entries(vault).into_iter().filter(|entry| kind(entry).starts_with("Command")).collect()
}

#[test]
fn every_command_that_does_something_is_recorded_with_who_gave_it_and_how_it_ended() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.write("p.json", "{}");
    let hash = "0".repeat(64);
    let checkpoint = [
        ["witness-checkpoint", "--tenant-id", "t", "--stream-id", "s", "--checkpoint-id", "c"].as_slice(),
        &["--checkpoint-seq-no", "1", "--checkpoint-hash", &hash],
    ]
    .concat();
    let add = ["witness", "stream", "add", "--tenant-id", "t", "--stream-id", "x", "--consent", "ticket 17"];
    let given: [(&[&str], &str); 17] = [
        (&["attest", "a"], "attest"),
        (&["attestation", "self-test"], "attestation self-test"),
        (&["audit", "prune", "--before", "1d", "--yes"], "audit prune"),
        (&["custody", "report"], "custody report"),
        (&["custody", "selftest"], "custody selftest"),
        (&["drain-loop", "--max-iterations", "1"], "drain-loop"),
        (&["drain-once"], "drain-once"),
        (&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"], "enqueue-json"),
        (&["relay", "drain"], "relay drain"),
        (&["relay", "pause"], "relay pause"),
        (&["relay", "resume"], "relay resume"),
        (&["relay", "test"], "relay test"),
        (&["spool", "rotate"], "spool rotate"),
        (&["witness", "status"], "witness status"),
        (&add, "witness stream add"),
        (&["witness", "verify"], "witness verify"),
        (&checkpoint, "witness-checkpoint"),
    ];
    let uid = i64::from(rustix::process::getuid().as_raw());
    for (n, (words, name)) in given.into_iter().enumerate() {
        vault.ok(words);
        let commands = commands(&vault);
        let [begun, ended] = &commands[2 * n..] else { panic!("{name}: {commands:?}") };
        assert_eq!((kind(begun), begun.get_str("command")), ("CommandBegun", Some(name)));
        assert_eq!((number(begun, "uid"), begun.get_str("version")), (uid, Some(env!("CARGO_PKG_VERSION"))));
        assert_eq!((kind(ended), ended.get_str("command")), ("CommandEnded", Some(name)));
        assert_eq!((number(ended, "code"), number(ended, "pid")), (0, number(begun, "pid")));
    }
    verified(&vault);
}

#[test]
fn what_failed_is_recorded_with_its_code() {
    let vault = Vault::new();
    let given: [(&[&str], &str, i64, i32); 4] = [
        (&["attest", "nothing-there"], "attest", 74, 74),
        (&["audit", "prune", "--before", "tomorrow"], "", 64, 64),
        (&["relay", "drain"], "relay drain", 78, 78),
        // The published package has one code for everything; the log has ours.
        (&["drain-once"], "drain-once", 78, 1),
    ];
    for (words, name, recorded, code) in given {
        assert_eq!(vault.run(words).code, Some(code), "{words:?}");
        // A command line that is refused is no command.
        let Some(last) = commands(&vault).pop().filter(|_| !name.is_empty()) else { continue };
        assert_eq!((kind(&last), last.get_str("command")), ("CommandFailed", Some(name)));
        assert_eq!(number(&last, "code"), recorded);
    }
}

#[test]
fn looking_at_files_is_not_recorded_and_showing_a_payload_is() {
    let vault = Vault::with_an_event();
    let before = entries(&vault).len();
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let looks: [&[&str]; 10] = [
        &["audit", "head"],
        &["audit", "verify"],
        &["audit", "export"],
        &["config", "example"],
        &["receipt", "show", "--all"],
        &["relay", "status"],
        &["spool", "show", &id],
        &["spool", "stats"],
        &["witness", "counts"],
        &["witness-counts"],
    ];
    looks.into_iter().for_each(|words| drop(vault.ok(words)));
    assert_eq!(entries(&vault).len(), before);
    vault.ok(&["spool", "show", &id, "--payload"]);
    assert_eq!(commands(&vault).pop().unwrap().get_str("command"), Some("spool show --payload"));
}

#[test]
fn a_look_at_the_keys_makes_no_log() {
    let vault = Vault::new();
    vault.ok(&["custody", "report"]);
    assert!(!vault.path(super::FOLDER).exists());
}

#[test]
fn an_entry_has_names_and_numbers_and_nothing_of_a_payload_or_a_key() {
    let vault = Vault::new();
    vault.write("p.json", r#"{"patient":"Ada Lovelace"}"#);
    vault.ok(&["enqueue-json", "--stream-id", "s", "--source-ref", "ref-of-ada", "--payload-file", "p.json"]);
    let exported = vault.ok(&["audit", "export"]);
    for secret in ["Lovelace", "ref-of-ada", &super::super::vault::encryption_key()] {
        assert!(!exported.contains(secret), "{secret}");
    }
    let written = entries(&vault).into_iter().find(|entry| kind(entry) == "BlobWritten").unwrap();
    assert_eq!(written.get("blobs").and_then(Value::as_i64), Some(1));
}
