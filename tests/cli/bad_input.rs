//! Each kind of bad input with its exit code, and its error word by word.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use local_vault::facts::Digest;

use super::vault::{Done, STREAM, Vault, encryption_key, seed};

/// The vault's spool, with one event in it.
fn with_an_event() -> Vault {
    let vault = Vault::new();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault
}

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
    let vault = with_an_event();
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
    let vault = with_an_event();
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
    let vault = with_an_event();
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
fn the_spool_of_another_installation_is_refused() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    vault.reconfigure("installation.id = \"ins_1\"", "installation.id = \"ins_2\"");
    vault.reconfigure("/installations/ins_1/", "/installations/ins_2/");
    vault.run(&["relay", "drain"]).fails(
        78,
        &[
            "Error: the spool belongs to the installation ins_1, not to ins_2.",
            "Name the spool of this installation, or run: local-vault relay resume --installation-id NEW (after a \
             re-enrolment)",
        ],
    );
}

#[test]
fn the_spool_of_another_key_is_refused_and_not_changed() {
    let vault = with_an_event();
    let content = || Digest::of(&fs::read(vault.path("spool.sqlite3")).unwrap());
    let before = content();
    vault.secret("encryption.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let done = vault.run(&["spool", "rotate"]);
    let (first, second) = done.err.split_once('\n').unwrap();
    assert_eq!(done.code, Some(78));
    assert!(first.starts_with("Error: the spool was written with the key file-") && first.ends_with(" is configured."));
    assert_eq!(second, "Configure the encryption key that this spool was made with.\n");
    assert_eq!(content(), before);
}

#[test]
fn garbage_and_other_peoples_files_are_not_opened_as_a_spool() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let spool = vault.path("spool.sqlite3");
    let refused = |bytes: &[u8]| {
        fs::write(&spool, bytes).unwrap();
        for words in [["spool", "list"], ["spool", "rotate"], ["attest", "a"]] {
            vault.run(&words).fails(
                78,
                &[
                    &format!("Error: {} is not a spool of local-vault.", spool.display()),
                    "Name another file. This one was not touched.",
                ],
            );
        }
        assert!(fs::read(&spool).unwrap() == bytes);
    };
    refused(b"garbage");
    refused(&[0x5a; 20_000]);
    let other = rusqlite::Connection::open(vault.path("other")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    refused(&fs::read(vault.path("other")).unwrap());
}

#[test]
fn a_truncated_spool_is_damaged() {
    let vault = with_an_event();
    let spool = vault.path("spool.sqlite3");
    File::options().write(true).open(&spool).unwrap().set_len(5000).unwrap();
    for words in [["spool", "list"], ["spool", "rotate"], ["attest", "a"]] {
        let done = vault.run(&words);
        assert_eq!(done.code, Some(65), "{done:?}");
        assert!(done.err.starts_with("Error: the database is damaged: "), "{done:?}");
        assert!(done.err.ends_with("Nothing was changed. Keep the file, and restore the disk before going on.\n"));
    }
}

#[test]
fn no_flipped_byte_makes_a_spool_say_something_else() {
    let vault = with_an_event();
    let spool = vault.path("spool.sqlite3");
    let whole = fs::read(&spool).unwrap();
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let show = ["spool", "show", &id, "--payload", "--json"];
    let payload = vault.json(&show)[0].get_object("payload").cloned();
    // A step that shares no factor with the page size, so that every place in a page is met.
    for at in (0..whole.len()).step_by(whole.len() / 150 | 1) {
        fs::write(&spool, &whole).unwrap();
        let file = File::options().write(true).open(&spool).unwrap();
        file.write_all_at(&[whole[at] ^ 0xff], at as u64).unwrap();
        let done = vault.run(&show);
        match done.code {
            Some(0) => assert_eq!(super::vault::objects(&done.out)[0].get_object("payload").cloned(), payload, "{at}"),
            Some(65 | 74 | 75 | 78) => assert_eq!(done.err.lines().count(), 2, "byte {at}: {done:?}"),
            _ => panic!("byte {at}: {done:?}"),
        }
    }
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
        let vault = with_an_event();
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

#[test]
fn a_spool_path_that_is_not_text_is_that_file_and_no_other() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let vault = Vault::new();
    let name = OsStr::from_bytes(b"\xff.sqlite3");
    vault.write("p.json", "{}");
    let mut command =
        vault.without_config(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"]);
    command.arg("--spool-db").arg(name).env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", encryption_key());
    Done::of(&mut command).ok();
    assert!(vault.path(name).exists());
}
