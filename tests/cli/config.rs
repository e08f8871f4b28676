use std::fs;

use local_vault::config::EXAMPLE;

use super::vault::{Done, Vault, encryption_key, public_key, seed};

const MEND: &str = "Mend each line; `local-vault config example` shows every key.";
const REFUSED: &str = "Error: the configuration is refused:";

/// What `config check` says about a config file of this text.
fn check(text: &str) -> Done {
    let vault = Vault::new();
    vault.write("c.toml", text);
    Done::of(&mut vault.without_config(&["--config", "c.toml", "config", "check"]))
}

#[test]
fn a_good_configuration_is_ok() {
    let done = Vault::new().run(&["config", "check"]);
    assert!(done.out.starts_with("config: OK (/") && done.out.ends_with("/local-vault.toml, 3 signing keys)\n"));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

#[test]
fn the_example_is_taken_as_it_is() {
    let vault = Vault::new();
    let example = vault.ok(&["config", "example"]);
    assert_eq!(example, EXAMPLE);
    assert!(check(&example).ok().starts_with("config: OK (c.toml, 0 signing keys)"));
}

#[test]
fn the_example_is_taken_with_every_key_in_it() {
    let vault = Vault::new();
    let setting = |line: &str| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).map(str::to_owned);
    let lines: Vec<String> = EXAMPLE.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned())).collect();
    let example = lines.join("\n").replace("ins_…", "ins_0123456789abcdef0123456789abcdef");
    assert_eq!(example.matches(" = ").count(), EXAMPLE.matches(" = ").count());
    vault.write("c.toml", example.replace("[\"64 hex digits\"]", &format!("[\"{}\"]", "ab".repeat(32))));
    vault.write("receiver-ca.pem", authority());
    vault.secret("relay.pass", "open sesame\n");
    vault.openssl("genpkey -algorithm ed25519 -out plain.pem");
    vault.openssl("pkcs8 -topk8 -scrypt -in plain.pem -passout file:relay.pass -out relay.pem");
    for purpose in ["source", "witness", "witness-next", "record"] {
        vault.openssl(&format!("genpkey -algorithm ed25519 -out {purpose}.pem"));
    }
    let done = Done::of(&mut vault.without_config(&["--config", "c.toml", "config", "check"]));
    assert_eq!(done.ok(), "config: OK (c.toml, 5 signing keys)\n");
}

#[test]
fn the_example_is_taken_with_a_token_in_place_of_files() {
    let another_source = |line: &str| ["pin_c", "pin_e", "pin_p"].iter().any(|name| line.starts_with(name));
    let lines = EXAMPLE.lines().filter_map(|line| match line.strip_prefix("## ") {
        Some(setting) => (!another_source(setting)).then_some(setting),
        // As the example says: the sections of files are left out.
        None => (!line.starts_with("[custody.")).then_some(line),
    });
    let example = lines.collect::<Vec<_>>().join("\n");
    assert!(example.contains("\npin_file = ") && example.contains("\n[custody.pkcs11.wrapping]"), "{example}");
    let vault = Vault::new();
    let example = example
        .replace("# backend = \"file\"", "backend = \"pkcs11\"")
        .replace("\"hex digits\"", "\"01\"")
        .replace("\"64 hex digits\"", &format!("{:?}", public_key("relay")))
        .replace("/usr/lib/softhsm/libsofthsm2.so", "nowhere.so");
    vault.write("c.toml", example.replace("profile = ", "# profile = "));
    // Every line is taken; the first thing that is missing is the module.
    let done = Done::of(&mut vault.without_config(&["--config", "c.toml", "config", "check"]));
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("cannot read the PKCS#11 module nowhere.so: "), "{done:?}");
    assert!(!done.err.contains("c.toml:"), "{done:?}");
    // So is the profile, which is read before.
    vault.write("c.toml", example);
    let done = Done::of(&mut vault.without_config(&["--config", "c.toml", "config", "check"]));
    assert!(done.err.contains("the profile my-token.toml is refused: No such file"), "{done:?}");
}

#[cfg(feature = "tpm")]
#[test]
fn the_example_is_taken_with_a_tpm_in_place_of_files() {
    let lines = EXAMPLE.lines().filter_map(|line| match line.strip_prefix("### ") {
        Some(setting) => Some(setting),
        None => (!line.starts_with("[custody.")).then_some(line),
    });
    let example = lines.collect::<Vec<_>>().join("\n");
    assert!(example.contains("\nparent_name = ") && example.contains("\n[custody.tpm.wrapping]"), "{example}");
    let vault = Vault::new();
    let policy_key = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let example = example
        .replace("# backend = \"file\"", "backend = \"tpm\"")
        .replace("device:/dev/tpmrm0", "swtpm:host=localhost,port=1")
        .replace("\"68 hex digits\"", &format!("\"000b{}\"", "ab".repeat(32)))
        .replace("\"130 hex digits\"", &format!("{policy_key:?}"))
        .replace("\"64 hex digits\"", &format!("{:?}", public_key("relay")));
    vault.write("c.toml", example);
    // Every line is taken; the first thing that is missing is the TPM.
    let done = Done::of(&mut vault.without_config(&["--config", "c.toml", "config", "check"]));
    assert!(
        done.err.contains("swtpm:host=localhost,port=1 does not answer") && !done.err.contains("c.toml:"),
        "{done:?}"
    );
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()
}

#[test]
fn everything_that_is_wrong_with_a_file_is_named_at_once_by_line() {
    let text = r#"
unknown = 1
[relay]
parallel = "8"
endpoint = 5
spki_pins = ["ab"]
idle_sleep_seconds = -1
[custody]
backend = "hsm"
minimum_protection = "none"
[custody.keys.relay]
file = "relay.key"
[custody.keys.nope]
kid = "x"
[[spool]]
"#;
    let backends = if cfg!(feature = "tpm") {
        "\"file\", \"pkcs11\" or \"tpm\""
    } else {
        "\"file\" or \"pkcs11\" (this build has no tpm)"
    };
    let backends = format!("  c.toml:9: custody.backend must be {backends}");
    check(text).fails(
        78,
        &[
            REFUSED,
            "  c.toml:2: unknown key unknown",
            "  c.toml:4: relay.parallel must be a whole number from 1 to 256",
            "  c.toml:5: relay.endpoint must be text that is not empty",
            "  c.toml:6: relay.spki_pins must be a list of 64 hex digits each",
            "  c.toml:7: relay.idle_sleep_seconds must be seconds, 0 or more",
            &backends,
            "  c.toml:10: custody.minimum_protection must be \"software\", \"device-released\" or \"device-resident\"",
            "  c.toml:11: custody.keys.relay needs file and kid",
            "  c.toml:13: unknown key custody.keys.nope",
            "  c.toml:15: spool must be a table",
            MEND,
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_is_refused_by_line() {
    let done = check("[relay]\nendpoint = \nparallel = 8\n");
    assert_eq!(done.code, Some(78));
    assert!(done.err.contains("\n  c.toml:2: "), "{done:?}");
}

#[test]
fn a_config_file_that_is_named_and_not_there_is_an_error() {
    Done::of(&mut Vault::new().without_config(&["--config", "nope.toml", "spool", "list"]))
        .fails(78, &[REFUSED, "  nope.toml: cannot be read: No such file or directory (os error 2)", MEND]);
}

#[test]
fn a_key_with_an_escape_sequence_in_its_name_is_shown_escaped() {
    check("\"\\u001b[2J\" = 1").fails(78, &[REFUSED, "  c.toml:1: unknown key \\u{1b}[2J", MEND]);
}

#[test]
fn everything_that_does_not_work_is_gathered() {
    let vault = Vault::new();
    vault.secret("encryption.key", "short");
    vault.secret("source.key", "short");
    fs::remove_file(vault.path("witness.key")).unwrap();
    vault.configure("[relay]\nendpoint = \"https://host/?x\"\nproxy = \"socks5://host\"");
    let done = vault.run(&["config", "check"]);
    let [key, source, witness] = ["encryption.key", "source.key", "witness.key"].map(|name| vault.shown(name));
    done.fails(
        78,
        &[
            REFUSED,
            &format!(
                "  {key} is not an encryption key (file: parse). It is 32 bytes in base64; local-vault \
                 generate-encryption-key makes one."
            ),
            &format!(
                "  {source} is not a key of 32 bytes (file: parse). A key is PKCS#8 PEM, 64 hex digits, or 32 bytes \
                 in base64."
            ),
            &format!(
                "  cannot read {witness}: No such file or directory (os error 2) (file: open). Check the path in the \
                 configuration, and that this user may read the file."
            ),
            "  expected a proxy as http://HOST:PORT, without credentials, path or query. Mend relay.proxy.",
            "  the endpoint has a query (?…). Mend relay.endpoint, ATTESTO_LOCAL_VAULT_RELAY_URL or --endpoint-url.",
            "Mend each line.",
        ],
    );
}

#[test]
fn relative_paths_begin_at_the_config_file_and_not_where_one_stands() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let elsewhere = tempfile::tempdir().unwrap();
    Done::of(vault.command(&["attest", vault.path("a").to_str().unwrap()]).current_dir(elsewhere.path())).ok();
    assert!(vault.path("spool.sqlite3").exists());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn what_contradicts_the_file_is_refused_and_not_an_override() {
    let vault = Vault::new();
    vault.configure("[relay]\nendpoint = \"https://host/v2/local-vault/installations/ins_1/events\"");
    let mut command = vault.command(&["--spool-db", "other", "--witness-db", "other", "config", "check"]);
    command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", "ins_2");
    command.env("ATTESTO_LOCAL_VAULT_WITNESS_ID", "ins_2");
    command.env("ATTESTO_LOCAL_VAULT_RELAY_URL", "https://user:hunter2@host/");
    command.env("ATTESTO_LOCAL_VAULT_KEY_ID", "relay-2");
    command.env("ATTESTO_LOCAL_VAULT_SIGNING_KEY", seed("relay").to_string());
    command.env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", encryption_key());
    let contradicts = |name: &str, key: &str| {
        format!("  ATTESTO_LOCAL_VAULT_{name}, or its flag, contradicts {key} in the config file")
    };
    let twice = |name: &str| {
        format!("  ATTESTO_LOCAL_VAULT_{name} is set, and the config file names that key too: remove one of them")
    };
    Done::of(&mut command).fails(
        78,
        &[
            REFUSED,
            &contradicts("INSTALLATION_ID", "installation.id"),
            &contradicts("WITNESS_ID", "installation.id"),
            &contradicts("SPOOL_DB", "spool.path"),
            &contradicts("WITNESS_DB", "witness.path"),
            &contradicts("RELAY_URL", "relay.endpoint"),
            &twice("ENCRYPTION_KEY"),
            &twice("SIGNING_KEY"),
            MEND,
        ],
    );
}

#[test]
fn what_says_the_same_as_the_file_is_no_contradiction() {
    let vault = Vault::new();
    let spool = vault.shown("spool.sqlite3");
    let mut command = vault.command(&["--spool-db", &spool, "config", "check"]);
    command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", "ins_1").env("ATTESTO_LOCAL_VAULT_KEY_ID", "relay-1");
    Done::of(&mut command).ok();
}

#[test]
fn whom_to_trust_is_not_said_by_the_environment_where_there_is_a_file() {
    let vault = Vault::new();
    let mut command = vault.command(&["config", "check"]);
    command.env("ATTESTO_LOCAL_VAULT_CA_FILE", "/evil.pem");
    command.env("ATTESTO_LOCAL_VAULT_SPKI_PINS", "ab".repeat(32));
    Done::of(&mut command).fails(
        78,
        &[
            REFUSED,
            "  ATTESTO_LOCAL_VAULT_CA_FILE is set, and the config file does not say so: set relay.ca_file there",
            "  ATTESTO_LOCAL_VAULT_SPKI_PINS is set, and the config file does not say so: set relay.spki_pins there",
            MEND,
        ],
    );
}

#[test]
fn nor_by_the_variables_that_every_program_reads() {
    let vault = Vault::new();
    vault.configure("[relay]\nendpoint = \"https://attesto.example/v2/local-vault/installations/ins_1/events\"");
    let mut command = vault.command(&["config", "check"]);
    Done::of(command.env("SSL_CERT_FILE", "/evil.pem")).fails(
        78,
        &[REFUSED, "  SSL_CERT_FILE is set, and the config file does not say so: set relay.ca_file there", MEND],
    );
}

#[test]
fn a_setting_that_asks_for_a_device_is_never_served_by_software() {
    let vault = Vault::new();
    let mut command = vault.command(&["config", "check"]);
    command.env("ATTESTO_LOCAL_VAULT_SIGNING_PROVIDER", "pkcs11").env("ATTESTO_LOCAL_VAULT_ASSURANCE", "L1");
    Done::of(&mut command).fails(
        78,
        &[
            REFUSED,
            "  ATTESTO_LOCAL_VAULT_SIGNING_PROVIDER contradicts custody.backend in the config file",
            "  ATTESTO_LOCAL_VAULT_ASSURANCE, or its flag, contradicts attestation.minimum in the config file",
            MEND,
        ],
    );
}

#[test]
fn a_software_key_of_the_environment_is_not_taken_where_the_file_asks_for_a_token() {
    let vault = Vault::new();
    let token = "module = \"m.so\"\ntoken_label = \"edge-07\"\npin_file = \"token.pin\"";
    vault.write("local-vault.toml", format!("[custody]\nbackend = \"pkcs11\"\n[custody.pkcs11]\n{token}\n"));
    let mut command = vault.command(&["config", "check"]);
    Done::of(command.env("ATTESTO_LOCAL_VAULT_SIGNING_KEY", seed("relay").to_string())).fails(
        78,
        &[
            REFUSED,
            "  ATTESTO_LOCAL_VAULT_SIGNING_KEY is a key in software, and custody.backend asks for another",
            MEND,
        ],
    );
}

#[test]
fn each_key_id_is_compared_with_its_own_key() {
    let vault = Vault::new();
    let checkpoint = |kid: &str| {
        let hash = "ab".repeat(32);
        let words = "witness-checkpoint --tenant-id t --stream-id s --checkpoint-id c --checkpoint-seq-no 1";
        let words: Vec<&str> = words.split(' ').chain(["--checkpoint-hash", &hash, "--key-id", kid]).collect();
        vault.run(&words)
    };
    checkpoint("witness-1").ok();
    checkpoint("relay-1").fails(
        1,
        &[
            REFUSED,
            "  ATTESTO_LOCAL_VAULT_KEY_ID, or its flag, contradicts custody.keys.witness.kid in the config file",
            MEND,
        ],
    );
}

#[test]
fn a_minimum_that_no_key_reaches_stops_every_use_of_keys() {
    let vault = Vault::new();
    vault.reconfigure(
        "[custody.keys.relay]",
        "[custody]\nminimum_protection = \"device-resident\"\n[custody.keys.relay]",
    );
    vault.reconfigure("custody.file.encryption_key_file = \"encryption.key\"", "");
    vault.configure("[custody.file]\nencryption_key_file = \"encryption.key\"");
    vault.run(&["spool", "rotate"]).fails(
        78,
        &[
            "Error: the encryption key is software, and the configuration asks for device-resident.",
            "Name a key in a device, or lower custody.minimum_protection.",
        ],
    );
    assert!(!vault.path("spool.sqlite3").exists());
}

#[test]
fn one_key_under_two_purposes_is_refused() {
    let vault = Vault::new();
    vault.secret("source.key", &seed("relay").to_string());
    vault.run(&["spool", "rotate"]).ok();
    vault.write("a", "alpha");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            "Error: one key serves two purposes, relay and source.",
            "Make a key of its own for each purpose; `custody report` shows them.",
        ],
    );
}
