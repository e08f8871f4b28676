//! Bundles for whoever helps: what is in them, and what never is.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use local_vault::protocol::json;

use super::service::Service;
use super::vault::{Vault, encryption_key, seed};

const MARKER: &str = "payload-marker-91e2";
const PROXY_PASSWORD: &str = "proxy-password-5d77";

/// The files of a bundle, by name.
fn unpack(path: &Path) -> Vec<(String, String)> {
    let mut bundle = tar::Archive::new(File::open(path).unwrap());
    let file = |file: Result<tar::Entry<'_, File>, _>| {
        let mut file = file.unwrap();
        assert_eq!(file.header().mode().unwrap(), 0o600);
        let path = file.path().unwrap().into_owned();
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), content)
    };
    bundle.entries().unwrap().map(file).collect()
}

fn file<'a>(bundle: &'a [(String, String)], name: &str) -> &'a str {
    let found = bundle.iter().find(|(file, _)| file == name);
    &found.unwrap_or_else(|| panic!("there is no {name}")).1
}

/// A secret in every form in which it could stand in a text.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let texts = [hex::encode(secret), hex::encode_upper(secret)];
    let engines = [STANDARD.encode(secret), URL_SAFE.encode(secret)];
    let unpadded = [STANDARD_NO_PAD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    let texts = texts.into_iter().chain(engines).chain(unpadded).map(String::into_bytes);
    texts.chain([secret.to_vec()]).collect()
}

#[track_caller]
fn holds_none_of(path: &Path, secrets: &[(&str, Vec<u8>)]) {
    let bytes = fs::read(path).unwrap();
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    for (name, secret) in secrets {
        assert!(!forms(secret).iter().any(|form| contains(form)), "{name}");
    }
}

const NAMES: [&str; 11] = [
    "README.txt",
    "audit.jsonl",
    "config.txt",
    "custody.json",
    "host.txt",
    "log.txt",
    "metrics.txt",
    "spool.json",
    "status.json",
    "store.txt",
    "versions.txt",
];

#[test]
fn a_bundle_tells_how_things_are_and_no_secret() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let passphrase = "open sesame 77aa";
    vault.secret("pass", &format!("{passphrase}\n"));
    let der = [hex::decode("302e020100300506032b657004220420").unwrap(), seed("source").as_bytes().to_vec()].concat();
    vault.write("source.der", der);
    vault.openssl("pkcs8 -topk8 -scrypt -inform DER -in source.der -passout file:pass -out source.key");
    vault.reconfigure("kid = \"source-1\"", "kid = \"source-1\"\npassphrase_file = \"pass\"");
    vault.configure("[log]\nlevel = \"info\"");
    let running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.client().payload("s", "r", &format!("{{\"text\":\"{MARKER}\"}}")).status, 201);
    running.until_events("receipted", 1);

    vault.ok(&["support-bundle", "bundle.tar"]);
    let path = vault.path("bundle.tar");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let bundle = unpack(&path);
    let mut names: Vec<&str> = bundle.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, NAMES);
    for name in NAMES.iter().filter(|name| **name != "README.txt") {
        assert!(file(&bundle, "README.txt").contains(&format!("{name:13} ")), "{name}");
        assert!(!file(&bundle, name).starts_with("Error"), "{name}: {}", file(&bundle, name));
    }
    assert!(file(&bundle, "config.txt").contains("spool.path = \"spool.sqlite3\"\n"));
    assert!(file(&bundle, "config.txt").contains("custody.file.encryption_key_file = (left out)\n"));
    assert!(
        file(&bundle, "versions.txt").starts_with(&format!("local-vault {}\nsqlite 3.", env!("CARGO_PKG_VERSION")))
    );
    let status = json::parse(file(&bundle, "status.json").as_bytes()).unwrap();
    assert_eq!(super::service::events(&status, "receipted"), Some(1));
    assert!(status.get_object("service").is_some());
    let custody = json::parse(file(&bundle, "custody.json").as_bytes()).unwrap();
    assert_eq!(custody.get_str("backend"), Some("file"));
    assert!(file(&bundle, "metrics.txt").contains("local_vault_spool_events"));
    assert!(file(&bundle, "log.txt").contains("receipted"));
    assert!(file(&bundle, "audit.jsonl").contains("\"kind\": \"Receipted\""));
    assert!(
        file(&bundle, "store.txt").contains("quick check: ok\n") && file(&bundle, "store.txt").contains("CREATE TABLE")
    );
    assert!(file(&bundle, "host.txt").contains("bytes free"));

    let key = |purpose: &'static str| (purpose, seed(purpose).as_bytes().to_vec());
    let text = |text: &'static str| (text, text.as_bytes().to_vec());
    let encryption = ("the encryption key's text", encryption_key().into_bytes());
    let keys = ["encryption", "relay", "source", "witness"].map(key);
    holds_none_of(&path, &[keys.as_slice(), &[encryption, text(MARKER), text("open sesame 77aa")]].concat());
    running.end();
}

#[test]
fn without_a_service_and_with_a_config_that_is_refused_there_is_a_bundle_all_the_same() {
    let vault = Vault::with_an_event();
    vault.ok(&["support-bundle", "quiet.tar"]);
    let bundle = unpack(&vault.path("quiet.tar"));
    assert!(file(&bundle, "log.txt").contains("no service listens there"));
    assert_eq!(json::parse(file(&bundle, "status.json").as_bytes()).unwrap().get_str("state"), Some("ok"));

    vault.configure(&format!(
        "[relay]\nendpoint = \"https://receiver.example/events\"\nproxy = \"http://user:{PROXY_PASSWORD}@proxy.example:3128\"\n\
         surprise = \"{PROXY_PASSWORD}\"\n[[ingest.producers]]\nuid = 1001\nstreams = [\"a\"]\npassword = \"{PROXY_PASSWORD}\""
    ));
    vault.ok(&["support-bundle", "refused.tar"]);
    let path = vault.path("refused.tar");
    let bundle = unpack(&path);
    assert!(file(&bundle, "refused.txt").contains("unknown key relay.surprise"), "{}", file(&bundle, "refused.txt"));
    let config = file(&bundle, "config.txt");
    assert!(config.contains("relay.endpoint = \"https://receiver.example/events\"\n"), "{config}");
    assert!(config.contains("relay.proxy = (left out)\n"), "{config}");
    assert!(config.contains("relay.surprise = (unknown key, left out)\n"), "{config}");
    assert!(config.contains("ingest.producers[0].uid = 1001\n"), "{config}");
    assert!(config.contains("ingest.producers[0].password = (unknown key, left out)\n"), "{config}");
    holds_none_of(&path, &[("the proxy's password", PROXY_PASSWORD.as_bytes().to_vec())]);

    // Forms that are no URL, and that end early as one.
    for (name, before, after) in
        [("no-scheme.tar", "http://user:", "user:"), ("hash.tar", "\"user:", "\"http://user:hunt#er2")]
    {
        vault.reconfigure(before, after);
        vault.ok(&["support-bundle", name]);
        let password = ("the proxy's password", PROXY_PASSWORD.as_bytes().to_vec());
        holds_none_of(&vault.path(name), &[password, ("what is before the hash", b"hunt".to_vec())]);
    }
}

#[test]
fn a_part_that_fails_says_why_and_the_rest_is_there() {
    let vault = Vault::new();
    vault.ok(&["support-bundle", "bundle.tar"]);
    let bundle = unpack(&vault.path("bundle.tar"));
    assert!(file(&bundle, "store.txt").starts_with("Error: "));
    assert!(file(&bundle, "README.txt").contains("quick check of its pages (failed)\n"));
    assert!(file(&bundle, "custody.json").contains("\"backend\": \"file\""));
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let vault = Vault::with_an_event();
    vault.write("bundle.tar", "mine");
    assert_eq!(vault.run(&["support-bundle", "bundle.tar"]).code, Some(74));
    assert_eq!(fs::read(vault.path("bundle.tar")).unwrap(), b"mine");
}

#[cfg(feature = "pkcs11")]
#[test]
fn a_bundle_over_a_token_has_neither_its_pin_nor_asks_it_anything() {
    use super::place::Place;

    let (place, _sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    place.write(
        "events",
        format!("{{\"stream_id\":\"s\",\"source_ref\":\"r\",\"payload\":{{\"text\":\"{MARKER}\"}}}}\n"),
    );
    place.ok(&["enqueue", "--ndjson", "events"]);
    place.softhsm.take_away();
    place.ok(&["support-bundle", "bundle.tar"]);
    let bundle = unpack(&place.path("bundle.tar"));
    let custody = json::parse(file(&bundle, "custody.json").as_bytes()).unwrap();
    assert_eq!((custody.get_str("backend"), custody.get("device_asked")), (Some("pkcs11"), Some(&false.into())));
    assert!(file(&bundle, "custody.json").contains(&place.public_key("relay")));
    assert!(file(&bundle, "config.txt").contains("custody.pkcs11.pin_file = (left out)\n"));

    place.softhsm.put_back();
    let logins = place.calls("C_Login");
    place.ok(&["support-bundle", "again.tar"]);
    assert_eq!(place.calls("C_Login"), logins);
    place.ok(&["support-bundle", "asked.tar", "--with-device"]);
    assert!(file(&unpack(&place.path("asked.tar")), "custody.json").contains("\"device\": "));
    let pins = [place.softhsm.pin(), place.softhsm.so_pin()].map(|pin| ("a PIN", pin.as_bytes().to_vec()));
    let others = [("a payload", MARKER.as_bytes().to_vec()), ("the proxy", PROXY_PASSWORD.as_bytes().to_vec())];
    let secrets = [pins, others].concat();
    place.reconfigure("[relay]\n", &format!("[relay]\nproxy = \"http://user:{PROXY_PASSWORD}@proxy.example:3128\"\n"));
    place.ok(&["support-bundle", "proxy.tar"]);
    for name in ["bundle.tar", "again.tar", "asked.tar", "proxy.tar"] {
        holds_none_of(&place.path(name), &secrets);
    }
}
