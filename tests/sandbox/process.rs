use std::process::{Command, Output};

use local_vault::facts::Digest;
use local_vault::protocol::json::{Object, Value};
use reqwest::Certificate;
use reqwest::tls::TlsInfo;

use super::support::Sandbox;
use super::vault::{INSTALLATION, PAYLOAD, Pair, Vault, envelope};

/// Runs to the end and gives what came out. For starts that fail.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_local-vault-sandbox")).args(arguments).output().unwrap()
}

fn exit_code(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

#[tokio::test]
async fn the_ready_file_says_where_it_listens_and_whom_to_trust() {
    let key = Vault::new(7).public_key().to_hex();
    let (first, second) = (format!("{INSTALLATION}={key}"), format!("ins_2={key}"));
    let sandbox = Sandbox::start(&["--trust", &first, "--trust", &second]);
    let ready = sandbox.ready();
    let url = |id: &str| sandbox.at(&format!("/v2/local-vault/installations/{id}/events"));
    assert!(sandbox.url().starts_with("https://localhost:"));
    assert_eq!(sandbox.url(), url(INSTALLATION));
    let urls = Object::new().with(INSTALLATION, url(INSTALLATION)).with("ins_2", url("ins_2"));
    assert_eq!(ready.get_object("urls"), Some(&urls));
    assert!(sandbox.ca_file().is_absolute() && sandbox.ca_file().ends_with("ready.json.ca.pem"));
}

#[tokio::test]
async fn the_ready_file_names_the_pin_of_the_certificate_that_is_shown() {
    let sandbox = Sandbox::start::<&str>(&[]);
    let ca = Certificate::from_pem(&std::fs::read(sandbox.ca_file()).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).tls_info(true).build().unwrap();
    let response = client.get(sandbox.at("/health")).send().await.unwrap();
    let shown = response.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().into();
    let spki = rustls::server::ParsedCertificate::try_from(&shown).unwrap().subject_public_key_info();
    assert_eq!(sandbox.ready().get_str("spki_sha256"), Some(Digest::of(&spki).to_string().as_str()));
}

#[tokio::test]
async fn no_private_key_is_on_the_disk() {
    let sandbox = Sandbox::start::<&str>(&[]);
    let folder = std::fs::read_dir(sandbox.ca_file().parent().unwrap()).unwrap();
    let mut names: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["ready.json", "ready.json.ca.pem", "record.jsonl"]);
    assert!(!std::fs::read_to_string(sandbox.ca_file()).unwrap().contains("PRIVATE"));
}

#[tokio::test]
async fn plain_http_has_no_certificate() {
    let pair = Pair::start_with(&["--plain-http"]);
    assert!(pair.sandbox.url().starts_with("http://localhost:"));
    assert_eq!(pair.sandbox.ready().get("ca_file"), Some(&Value::Null));
    assert!(pair.send(&envelope()).await.check(&envelope()).is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_trust_it_sends_nothing() {
    let pair = Pair::start();
    let stranger = Pair::start();
    let request = pair.vault.request(&stranger.client, pair.sandbox.url(), &envelope(), PAYLOAD);
    assert!(request.send().await.unwrap_err().is_connect());
    assert!(pair.sandbox.recorded_events().is_empty());
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_also_while_a_connection_is_open() {
    let pair = Pair::start();
    pair.send(&envelope()).await;
    assert_eq!(pair.sandbox.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_port_that_is_taken_is_69() {
    let sandbox = Sandbox::start::<&str>(&[]);
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let address = sandbox.at("").replace("https://localhost", "127.0.0.1");
    let output = run(&["serve", "--listen", &address, "--ready-file", ready.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("Error: cannot listen on 127.0.0.1:"), "{said}");
    assert!(said.ends_with("\nName another address; port 0 takes a free one.\n"), "{said}");
    assert!(!ready.exists());
}

#[test]
fn a_ready_file_that_cannot_be_written_is_74() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/ready.json");
    let output = run(&["serve", "--ready-file", missing.to_str().unwrap()]);
    let said = format!(
        "Error: cannot write {}: No such file or directory (os error 2).\n\
         Check the path, its permissions and the space on the disk.\n",
        missing.display()
    );
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(74), said));
}

#[test]
fn the_help_has_examples_and_names_the_modes() {
    for words in [["--help"].as_slice(), &["serve", "--help"]] {
        let help = String::from_utf8(run(words).stdout).unwrap();
        assert!(help.contains("\nExamples:\n  local-vault-sandbox serve "), "{help}");
    }
    let help = String::from_utf8(run(&["serve", "--help"]).stdout).unwrap();
    assert!(help.contains("Modes of --behave: close, conflict, ") && help.contains("unavailable-later."), "{help}");
}

#[test]
fn usage_is_64_and_configuration_is_78() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let ready = ready.to_str().unwrap();
    let trust = format!("{INSTALLATION}={}", Vault::new(7).public_key().to_hex());
    assert_eq!(exit_code(&["serve"]), Some(64));
    assert_eq!(exit_code(&["serve", "--ready-file", ready, "--behave", "teapot"]), Some(64));
    assert_eq!(exit_code(&["serve", "--ready-file", ready, "--trust", "ins_1=00"]), Some(64));
    assert_eq!(exit_code(&["serve", "--ready-file", ready, "--trust", &trust, "--trust", &trust]), Some(78));
    assert_eq!(exit_code(&["--help"]), Some(0));
}
