//! The commands, over a SoftHSM token and the sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use local_vault::protocol::attestation::{Assurance, SignedRecord};
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::{Domain, PublicKey};

use super::place::{Done, INSTALLATION, Place};
use super::sandbox::Sandbox;
use super::vectors::luna;

/// A vault with a relay key in a token, and a receiver.
fn place() -> (Place, Sandbox) {
    let place = Place::new(&["relay"]);
    let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
    let relay = format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
    place.reconfigure("[custody]\n", &format!("{relay}\n[custody]\n"));
    (place, sandbox)
}

/// The requests that registered something.
fn registered(sandbox: &Sandbox) -> Vec<Object> {
    let record = sandbox.record();
    let lines = record.split(|&c| c == b'\n').filter(|line| !line.is_empty());
    let requests = lines.map(|line| json::parse(line).unwrap());
    requests.filter(|request| request.get_str("path").unwrap().ends_with("/attestations")).collect()
}

fn stored(place: &Place) -> SignedRecord {
    let file = json::parse(&fs::read(place.path("attestation.json")).unwrap()).unwrap();
    SignedRecord::from_object(&file).unwrap()
}

#[test]
fn a_record_of_a_token_is_made_kept_and_registered() {
    let (place, sandbox) = place();
    let said = place.ok(&["attestation", "register"]);
    let signed = stored(&place);
    let reference = signed.record.attestation_ref();
    assert_eq!(said, format!("registered L1 record {reference} with the receiver\n"));

    let key = PublicKey::from_hex(&place.public_key("relay")).unwrap();
    assert_eq!(signed.verify(&key).unwrap().assurance, Assurance::L1);
    assert_eq!(signed.record.holder.manufacturer(), "SoftHSM project");
    assert_eq!(signed.record.preimage().domain(), Domain::Attestation);
    let program = fs::read(env!("CARGO_BIN_EXE_local-vault")).unwrap();
    assert_eq!(signed.record.measurement.edge_core_sha256, local_vault::facts::Digest::of(&program));

    let requests = registered(&sandbox);
    assert_eq!(requests.len(), 1);
    let path = format!("/v2/local-vault/installations/{INSTALLATION}/attestations");
    assert_eq!(requests[0].get_str("path"), Some(path.as_str()));
    assert_eq!(json::parse(requests[0].get_str("body").unwrap().as_bytes()).unwrap(), signed.to_posted());

    let mode = fs::metadata(place.path("attestation.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = place.ok(&["attestation", "show"]);
    assert!(shown.starts_with("level        L1 (pkcs11-key-custody)\n"), "{shown}");
    assert!(shown.ends_with("verifies with the relay key\n"), "{shown}");
    assert_eq!(fs::read_dir(place.path("")).unwrap().filter(|file| is_left_over(file.as_ref().unwrap())).count(), 0);
}

fn is_left_over(file: &fs::DirEntry) -> bool {
    file.file_name().to_string_lossy().contains(".new-")
}

#[test]
fn the_kept_file_is_as_the_published_package_writes_it() {
    let (place, _sandbox) = place();
    place.ok(&["attestation", "register"]);
    let text = fs::read_to_string(place.path("attestation.json")).unwrap();
    let begin =
        format!("{{\n  \"attestation_ref\": \"{}\",\n  \"record\": {{\n", stored(&place).record.attestation_ref());
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.ends_with("\"\n}\n"), "{text}");
    assert_eq!(json::parse(text.as_bytes()).unwrap().len(), 3, "no evidence where there is none");
}

#[test]
fn a_self_test_writes_and_sends_nothing() {
    let (place, sandbox) = place();
    let report = json::parse(place.ok(&["attestation", "self-test", "--json"]).as_bytes()).unwrap();
    assert_eq!(report.get_str("assurance"), Some("L1"));
    assert_eq!(report.get_str("provider"), Some("pkcs11"));
    assert_eq!(report.get_str("publicKeyHex"), Some(place.public_key("relay").as_str()));
    assert!(!place.path("attestation.json").exists());
    assert!(registered(&sandbox).is_empty());
    place.run(&["attestation", "show"]).fails(
        78,
        &format!("there is no record at {}", place.shown("attestation.json")),
        "Make one: local-vault attestation register",
    );
}

#[test]
fn a_receiver_that_does_not_know_the_key_refuses_the_record() {
    let (place, _other) = place();
    let key = PublicKey::ed25519(ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes()).unwrap();
    let stranger = Sandbox::trusting(INSTALLATION, &key.to_hex());
    let config = place.config();
    let line = |name: &str| config.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    place.reconfigure(&line("endpoint"), &format!("endpoint = \"{}\"", stranger.url()));
    place.reconfigure(&line("ca_file"), &format!("ca_file = {:?}", stranger.ca_file()));
    place.run(&["attestation", "register"]).fails(
        77,
        "the receiver answered 401: the record is of another relay key (signature_invalid)",
        "Is this installation enrolled with this relay key?",
    );
}

#[test]
fn a_tampered_record_no_longer_verifies_and_a_damaged_one_is_no_record() {
    let (place, _sandbox) = place();
    place.ok(&["attestation", "register"]);
    let mut signed = stored(&place);
    signed.record.holder = luna();
    place.write("attestation.json", signed.to_file().to_python_pages());
    let done = place.run(&["attestation", "show"]);
    let shown = place.shown("attestation.json");
    done.fails(
        65,
        &format!("{shown} does not verify: the signature does not verify"),
        "Make a new record: local-vault attestation register",
    );
    assert!(done.out.contains("Luna G7") && !done.out.contains("verifies with"), "{done:?}");

    let text = signed.to_file().to_python_pages().replace("0.1\"", "0.2\"");
    place.write("attestation.json", text);
    assert_eq!(place.run(&["attestation", "show"]).code, Some(65));
}

#[test]
fn a_url_of_its_own_is_posted_to_and_one_for_something_else_refused() {
    let (place, sandbox) = place();
    place.reconfigure("[custody]\n", "[attestation]\nurl = \"https://attesto.example/v2/events\"\n\n[custody]\n");
    place.run(&["attestation", "register"]).fails(
        78,
        "the URL for records does not end in /attestations",
        "Mend attestation.url, or ATTESTO_LOCAL_VAULT_ATTESTATION_URL.",
    );
    let url = sandbox.at(&format!("/v2/local-vault/installations/{INSTALLATION}/attestations"));
    place.reconfigure("https://attesto.example/v2/events", &url);
    place.ok(&["attestation", "register"]);
    assert_eq!(registered(&sandbox).len(), 1);
}

#[test]
fn an_extractable_key_is_attested_by_nobody() {
    let (place, sandbox) = place();
    let [label, id] = ["label", "id"].map(|name| place.member("custody.keys.relay", name));
    for kind in ["privkey", "pubkey"] {
        place.softhsm.pkcs11_tool(&["--delete-object", "--type", kind, "--id", &id]);
    }
    let make = ["--keypairgen", "--key-type", "EC:edwards25519", "--usage-sign", "--extractable"];
    place.softhsm.pkcs11_tool(&[make.as_slice(), &["--label", &label, "--id", &id]].concat());
    let done = place.run(&["attestation", "register"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("it is extractable"), "{done:?}");
    assert!(!place.path("attestation.json").exists());
    assert!(registered(&sandbox).is_empty());
}

#[test]
fn the_published_settings_make_the_published_record() {
    let place = Place::new(&["relay"]);
    let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
    fs::create_dir(place.path("providers")).unwrap();
    place.write("providers/b.json", "{\"b\": 1}");
    place.write("providers/a.json", "{\"a\": [1.0]}");
    place.write("providers/ignored.txt", "x");
    let core = "E7D5726C48FAB8D8155E5F3FE6CB879437EC5480C464B25B5568F8DADC26CF42";
    let mut command = place.without_config(&["attestation", "register"]);
    for (name, value) in [
        ("SIGNING_PROVIDER", "pkcs11".to_owned()),
        ("PKCS11_MODULE", place.shown("module.so")),
        ("PKCS11_TOKEN_LABEL", super::place::LABEL.to_owned()),
        ("PKCS11_KEY_LABEL", "local-vault-relay".to_owned()),
        ("PKCS11_PIN_FILE", place.shown("token.pin")),
        ("KEY_ID", "k1".to_owned()),
        ("INSTALLATION_ID", INSTALLATION.to_owned()),
        ("RELAY_URL", sandbox.url().to_owned()),
        ("CA_FILE", sandbox.ca_file().to_str().unwrap().to_owned()),
        ("ASSURANCE", "L1".to_owned()),
        ("EDGE_CORE_SHA256", core.to_owned()),
        ("PROVIDER_MANIFEST_DIR", place.shown("providers")),
        ("ATTESTATION_FILE", place.shown("published.json")),
    ] {
        command.env(format!("ATTESTO_LOCAL_VAULT_{name}"), value);
    }
    Done::of(&mut command).ok();
    let file = json::parse(&fs::read(place.path("published.json")).unwrap()).unwrap();
    let measurement = SignedRecord::from_object(&file).unwrap().record.measurement;
    assert_eq!(measurement.edge_core_sha256.to_string(), core.to_lowercase());
    let manifests = local_vault::facts::Digest::of(br#"{"a.json":{"a":[1.0]},"b.json":{"b":1}}"#);
    assert_eq!(measurement.provider_manifest_digest, manifests);
    assert_eq!(measurement.signing_key_id, "k1");
}
