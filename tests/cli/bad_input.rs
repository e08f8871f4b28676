//! Each kind of bad input with its exit code, and its error word by word.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use super::vault::{Done, STREAM, Vault, encryption_key, seed};

fn enqueue(vault: &Vault, stream_id: &str, source_ref: &str, payload: &[u8]) -> Done {
    vault.write("p.json", payload);
    vault.run(&["enqueue-json", "--stream-id", stream_id, "--source-ref", source_ref, "--payload-file", "p.json"])
}

#[test]
fn a_payload_that_is_no_strict_object_is_refused() {
    let vault = Vault::new();
    let deep = "[".repeat(600);
    let cases: [(&[u8], &str); 7] = [
        (b"[1]", "the top level is not an object"),
        (br#"{"a":1,"a":2}"#, "a key is repeated at byte 7"),
        (br#"{"a":1e999}"#, "a number overflows at byte 5"),
        (br#"{"a":NaN}"#, "expected a value at byte 5"),
        (b"\xef\xbb\xbf{}", "expected a value at byte 0"),
        (b"", "expected a value at byte 0"),
        (deep.as_bytes(), "nested more than 500 levels deep"),
    ];
    for (payload, why) in cases {
        let error = format!("Error: the payload is refused: {why}.");
        enqueue(&vault, "s", "r", payload)
            .fails(1, &[&error, "The payload is one strict JSON object. Nothing was spooled."]);
    }
    assert!(vault.json(&["spool", "list", "--json"]).is_empty());
}

#[test]
fn a_payload_of_100_megabytes_is_refused() {
    let vault = Vault::new();
    File::create(vault.path("p.json")).unwrap().set_len(100 << 20).unwrap();
    let words = ["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"];
    vault.run(&words).fails(
        1,
        &[
            "Error: the payload is refused: larger than 16 MiB.",
            "The payload is one strict JSON object. Nothing was spooled.",
        ],
    );
}

#[test]
fn the_drop_in_command_takes_empty_and_long_ids_as_the_published_one_does() {
    let vault = Vault::new();
    enqueue(&vault, "", "", b"{}").ok();
    enqueue(&vault, &"s".repeat(2000), &"r".repeat(2000), b"{}").ok();
}

#[test]
fn other_content_under_the_same_reference_is_refused() {
    let vault = Vault::new();
    enqueue(&vault, "s", "r", b"{}").ok();
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    enqueue(&vault, "s", "r", b"{\"n\":1}").fails(
        1,
        &[
            &format!("Error: the source_ref already holds other content, as {id}."),
            "Nothing was overwritten. Use another source_ref.",
        ],
    );
}

#[test]
fn a_key_of_the_wrong_length_is_refused() {
    let vault = Vault::with_an_event();
    vault.secret("source.key", "00ff");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            &format!("Error: {} is not a key of 32 bytes (file: parse).", vault.shown("source.key")),
            "A key is PKCS#8 PEM, 64 hex digits, or 32 bytes in base64.",
        ],
    );
    vault.secret("encryption.key", &encryption_key()[4..]);
    vault.run(&["spool", "rotate"]).fails(
        78,
        &[
            &format!("Error: {} is not an encryption key (file: parse).", vault.shown("encryption.key")),
            "It is 32 bytes in base64; local-vault generate-encryption-key makes one.",
        ],
    );
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let vault = Vault::with_an_event();
    fs::set_permissions(vault.path("source.key"), Permissions::from_mode(0o640)).unwrap();
    let shown = vault.shown("source.key");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            &format!("Error: {shown} may be read by others (mode 640) (file: mode)."),
            &format!("Run: chmod 600 {shown}"),
        ],
    );
}

#[test]
fn a_wrong_passphrase_is_77_and_a_missing_one_78() {
    let vault = Vault::with_an_event();
    vault.secret("pass", "open sesame\n");
    vault.openssl("genpkey -algorithm ed25519 -out plain.pem");
    vault.openssl("pkcs8 -topk8 -scrypt -in plain.pem -passout file:pass -out source.key");
    let shown = vault.shown("source.key");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            &format!("Error: {shown} is encrypted, and no passphrase is configured (file: decrypt)."),
            "Name a passphrase_file beside the key.",
        ],
    );
    vault.reconfigure("kid = \"source-1\"", "kid = \"source-1\"\npassphrase_file = \"pass\"");
    vault.ok(&["attest", "a"]);
    vault.secret("pass", "hunter2\n");
    vault.run(&["attest", "a"]).fails(
        77,
        &[
            &format!("Error: the passphrase does not open {shown} (file: decrypt)."),
            &format!("Check {}; nothing else was tried.", vault.shown("pass")),
        ],
    );
}

#[test]
fn an_endpoint_that_is_no_bare_https_url_is_refused_and_not_repeated() {
    let cases = [
        ("https://user:hunter2@host/x", "the endpoint carries credentials (USER:PASSWORD@)"),
        ("https://host/x?token=hunter2", "the endpoint has a query (?…)"),
        ("https://host/x#hunter2", "the endpoint has a fragment (#…)"),
        ("http://host/x", "the endpoint is plain http (allowed to 127.0.0.1, [::1] and localhost only)"),
        ("ftp://host/x", "the endpoint is not an https URL"),
        ("hunter2", "the endpoint is not a URL such as https://HOST/PATH"),
        (
            "https://host/v2/local-vault/installations/ins_2/events",
            "the endpoint's path does not end in /installations/INSTALLATION_ID/events for this installation",
        ),
    ];
    for (endpoint, why) in cases {
        let vault = Vault::with_an_event();
        vault.configure(&format!("[relay]\nendpoint = \"{endpoint}\""));
        let error = format!("Error: {why}.");
        let mend = "Mend relay.endpoint, ATTESTO_LOCAL_VAULT_RELAY_URL or --endpoint-url.";
        for words in [["relay", "drain"], ["relay", "test"]] {
            vault.run(&words).fails(78, &[&error, mend]);
        }
        let status = vault.ok(&["relay", "status"]);
        assert!(!status.contains("hunter2"), "{status}");
    }
}

#[test]
fn missing_settings_are_named_by_variable_and_key() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let missing = |words: &[&str], code: i32, what: &str, variable: &str, key: &str| {
        Done::of(&mut vault.without_config(words)).fails(
            code,
            &[
                &format!("Error: ATTESTO_LOCAL_VAULT_{variable} is required: no {what} is configured."),
                &format!("Set it, or {key} in the config file."),
            ],
        );
    };
    missing(&["attest", "a"], 78, "stream", "STREAM_ID", "installation.stream_id");
    missing(&["attest", "a", "--stream-id", STREAM], 78, "installation id", "INSTALLATION_ID", "installation.id");
    missing(&["relay", "drain"], 78, "installation id", "INSTALLATION_ID", "installation.id");
    missing(&["drain-once"], 1, "installation id", "INSTALLATION_ID", "installation.id");
    missing(&["spool", "rotate"], 78, "encryption key", "ENCRYPTION_KEY", "custody.file.encryption_key_file");
    assert!(!vault.path("local-vault-spool.sqlite3").exists());
}

#[test]
fn a_signing_key_that_is_not_configured_is_named() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let config = fs::read_to_string(vault.path("local-vault.toml")).unwrap();
    vault.write("local-vault.toml", config.split("[custody.keys.relay]").next().unwrap());
    vault.run(&["attest", "a"]).fails(
        78,
        &["Error: no source key is configured.", "Name one under [custody.keys.source] in the config file."],
    );
}

#[test]
fn a_generated_key_never_overwrites_a_file() {
    let vault = Vault::new();
    vault.run(&["generate-signing-key", "--private-key-file", "relay.key"]).fails(
        1,
        &[
            "Error: cannot create relay.key: File exists (os error 17).",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
    let mut kept = String::new();
    File::open(vault.path("relay.key")).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!(kept, seed("relay").to_string());
}
