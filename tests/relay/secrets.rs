use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use local_vault::protocol::json::Object;

use super::custody;
use super::delivery::envelope;
use super::place::{ROOT, SIGNING, sandbox};
use super::process::{Running, Vault, said};
use super::support::wait_until;

const MARKER: &str = "PAYLOAD-MARKER-7f3a";

/// Every form in which a secret could be written by mistake.
fn forms(name: &str, key: &[u8]) -> Vec<(String, Vec<u8>)> {
    let debug = format!("{key:?}");
    let texts = [
        ("hex", hex::encode(key)),
        ("HEX", hex::encode_upper(key)),
        ("base64", STANDARD_NO_PAD.encode(key)),
        ("padded base64", STANDARD.encode(key)),
        ("url-safe base64", URL_SAFE_NO_PAD.encode(key)),
        ("padded url-safe base64", URL_SAFE.encode(key)),
        ("debug", debug[1..debug.len() - 1].to_owned()),
    ];
    let texts = texts.into_iter().map(|(form, text)| (format!("{name} as {form}"), text.into_bytes()));
    texts.chain([(format!("{name} raw"), key.to_vec())]).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_key_leaves_the_process_and_no_payload_lies_on_the_disk() {
    let sandbox = sandbox(&["--behave", "reject:1", "--behave", "html:1"]);
    let vault = Vault::new(&sandbox);
    let payload = format!(r#"{{"note":"{MARKER}"}}"#);
    for n in 0..3 {
        vault.enqueue("s", &n.to_string(), &payload);
    }
    fs::remove_file(vault.folder().join("payload.json")).unwrap();
    let mut printed = Vec::new();
    let mut run = |arguments: &[&str]| {
        let output = vault.run(arguments);
        printed.extend(said(&output).into_bytes());
    };
    for format in ["text", "json"] {
        let log = ["--log", "trace", "--log-format", format];
        run(&[&["drain-once"], log.as_slice()].concat());
        run(&[&["relay", "drain", "--json"], log.as_slice()].concat());
        run(&[&["relay", "resume"], log.as_slice()].concat());
        run(&[&["relay", "drain"], log.as_slice()].concat());
        run(&[&["relay", "test"], log.as_slice()].concat());
        run(&[&["relay", "status"], log.as_slice()].concat());
        run(&[&["custody", "report"], log.as_slice()].concat());
        run(&[&["witness-counts"], log.as_slice()].concat());
    }
    // Killed mid-way, so that the WAL stays: a spool that is closed well leaves none.
    vault.enqueue("s", "last", &payload);
    fs::remove_file(vault.folder().join("payload.json")).unwrap();
    let mut relay = Running::start(&mut vault.command(&["drain-loop"]));
    let is_last = |request: &Object| envelope(request).get_str("source_ref") == Some("last");
    wait_until(|| sandbox.recorded_events().iter().any(is_last).then_some(()));
    relay.child().kill().unwrap();
    printed.extend(said(&relay.wait()).into_bytes());

    let files = fs::read_dir(vault.folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let files: Vec<_> = files.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    assert!(files.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()), "no WAL to search");
    assert!(contains(&sandbox.record(), MARKER.as_bytes()), "the search itself does not find what is there");
    println!("{} bytes printed", printed.len());
    assert!(contains(&printed, b"TRACE"), "no trace to search");

    let mut haystacks = files.clone();
    haystacks.push(("what was printed".into(), printed));
    haystacks.push(("what was sent".into(), sandbox.record()));
    for (where_, bytes) in &haystacks {
        for (name, secret) in custody::secrets(SIGNING, ROOT) {
            for (what, needle) in forms(name, &secret) {
                assert!(!contains(bytes, &needle), "{what} in {where_}");
            }
        }
    }
    for (where_, bytes) in haystacks.iter().filter(|(name, _)| name != "what was sent") {
        assert!(!contains(bytes, MARKER.as_bytes()), "a payload in {where_}");
        assert!(!contains(bytes, hex::encode(MARKER).as_bytes()), "a payload as hex in {where_}");
    }
}
