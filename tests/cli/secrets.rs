//! Nothing that any command writes contains a secret, on its output or in a file, however much it is asked to say, and
//! however it ends.

mod crash;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use local_vault::facts::Digest;

use super::vault::{Done, Vault, encryption_key, seed, trusted};

const MARKER: &str = "payload-marker-7c1f";
const PASSPHRASE: &str = "open sesame 3e9a";

/// A key in every form in which it could be written.
fn forms(key: &Digest) -> Vec<Vec<u8>> {
    let bytes = key.as_bytes();
    let lists = [format!("{bytes:?}"), format!("{bytes:02x?}")];
    let texts = [hex::encode(bytes), hex::encode_upper(bytes), STANDARD.encode(bytes), URL_SAFE.encode(bytes)];
    let texts = texts.into_iter().chain(lists.map(|list| list.trim_matches(['[', ']']).to_owned()));
    texts.map(String::into_bytes).chain([bytes.to_vec()]).collect()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// The secret that bytes contain, by name.
fn secret_in(bytes: &[u8]) -> Option<&'static str> {
    let key = |purpose: &&str| forms(&seed(purpose)).iter().any(|form| contains(bytes, form));
    let text = |text: &&str| contains(bytes, text.as_bytes());
    ["encryption", "relay", "source", "witness"]
        .into_iter()
        .find(key)
        .or_else(|| [MARKER, PASSPHRASE].into_iter().find(text))
}

#[track_caller]
fn has_no_secret(done: &Done) {
    let written = [done.out.as_bytes(), done.err.as_bytes()].concat();
    assert_eq!(secret_in(&written), None, "{done:?}");
}

/// What the test itself wrote: the keys, and what is to be attested.
const OURS: [&str; 10] = [
    "bad.json",
    "doc",
    "encryption.key",
    "p.json",
    "pass",
    "relay.key",
    "source.der",
    "source.key",
    "witness.key",
    "wrong.pass",
];

/// Looks into every other file in the vault's folder, and gives how many there are.
#[track_caller]
fn no_file_has_a_secret(vault: &Vault) -> usize {
    let mut looked_into = 0;
    let mut folders = vec![vault.path("")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !OURS.iter().any(|name| path == vault.path(name)) {
                assert_eq!(secret_in(&fs::read(&path).unwrap()), None, "{}", path.display());
                looked_into += 1;
            }
        }
    }
    looked_into
}

#[test]
fn a_whole_job_at_the_most_talkative_level_tells_no_secret() {
    let (vault, sandbox) = Vault::with_sandbox();
    vault.secret("pass", &format!("{PASSPHRASE}\n"));
    let seed_der =
        [hex::decode("302e020100300506032b657004220420").unwrap(), seed("source").as_bytes().to_vec()].concat();
    vault.write("source.der", seed_der);
    vault.openssl("pkcs8 -topk8 -scrypt -inform DER -in source.der -passout file:pass -out source.key");
    vault.reconfigure("kid = \"source-1\"", "kid = \"source-1\"\npassphrase_file = \"pass\"");
    vault.write("p.json", format!("{{\"text\":\"{MARKER}\"}}"));
    vault.write("doc", MARKER);
    vault.write("bad.json", format!("{{\"text\":\"{MARKER}\",}}"));
    vault.secret("wrong.pass", "wrong\n");
    let (relay, source) = (trusted("relay"), trusted("source"));
    let hash = "ab".repeat(32);
    let job: [&[&str]; 20] = [
        &["config", "check"],
        &["custody", "report"],
        &["custody", "report", "--json"],
        &["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"],
        &["enqueue-json", "--stream-id", "s", "--source-ref", "bad", "--payload-file", "bad.json"],
        &["attest", "doc", "--json"],
        &["relay", "test"],
        &["relay", "drain", "--json"],
        &["drain-once"],
        &["drain-loop", "--max-iterations", "1"],
        &["relay", "pause"],
        &["relay", "drain"],
        &["relay", "resume"],
        &["relay", "status", "--json"],
        &["spool", "list", "--json"],
        &["spool", "rotate"],
        &["spool", "stats"],
        &["receipt", "show", "--all", "--json"],
        &["verify", "--all", "--public-key", &relay, "--public-key", &source],
        &[
            "witness-checkpoint",
            "--tenant-id",
            "t",
            "--stream-id",
            "s",
            "--checkpoint-id",
            "c",
            "--checkpoint-seq-no",
            "1",
            "--checkpoint-hash",
            &hash,
        ],
    ];
    for words in job {
        for format in ["text", "json"] {
            let done = vault.run(&[["--log", "trace", "--log-format", format].as_slice(), words].concat());
            assert!(matches!(done.code, Some(0 | 1 | 77)), "{words:?}: {done:?}");
            has_no_secret(&done);
            no_file_has_a_secret(&vault);
        }
    }
    // The config file, both databases and their locks at least.
    assert!(no_file_has_a_secret(&vault) >= 4);
    vault.reconfigure("passphrase_file = \"pass\"", "passphrase_file = \"wrong.pass\"");
    let refused = vault.run(&["--log", "trace", "attest", "doc"]);
    assert_eq!(refused.code, Some(77));
    has_no_secret(&refused);

    // The payload is what the receiver is for; the keys are not.
    let record = sandbox.record();
    assert!(contains(&record, MARKER.as_bytes()));
    for purpose in ["encryption", "relay", "source", "witness"] {
        assert!(!forms(&seed(purpose)).iter().any(|form| contains(&record, form)), "the {purpose} key was sent");
    }
}

#[test]
fn a_secret_that_stands_in_the_config_by_mistake_is_not_repeated() {
    let secret = encryption_key();
    let hex = seed("relay").to_string();
    let mistakes = [
        format!("encryption_key = \"{secret}\""),
        secret.clone(),
        hex.clone(),
        format!("key = {secret}"),
        format!("key = \"{secret}"),
        format!("relay.parallel = \"{secret}\""),
        format!("relay.spki_pins = [\"{secret}\"]"),
        format!("relay.endpoint = [\"{secret}\"]"),
        format!("relay.endpoint = \"https://user:{hex}@host/\""),
        format!("relay.endpoint = \"https://host/?key={hex}\""),
        format!("relay.proxy = \"http://user:{hex}@host:1\""),
        format!("custody.backend = \"{secret}\""),
        format!("custody.minimum_protection = \"{secret}\""),
        format!("custody.file.encryption_key_file = \"{secret}\""),
        format!("custody.keys.relay = \"{hex}\""),
        format!("custody.keys.relay.file = \"{hex}\""),
        format!("custody.keys.relay = {{ file = \"relay.key\", kid = \"k\", passphrase = \"{PASSPHRASE}\" }}"),
    ];
    let vault = Vault::new();
    for mistake in mistakes {
        vault.write("c.toml", &mistake);
        for words in [["config", "check"], ["relay", "status"], ["spool", "rotate"]] {
            let words = [["--log", "trace", "--config", "c.toml"].as_slice(), &words].concat();
            let done = Done::of(&mut vault.without_config(&words));
            assert_eq!(done.code, Some(78), "{mistake}: {done:?}");
            has_no_secret(&done);
        }
    }
}

#[test]
fn a_malformed_secret_in_the_environment_is_not_repeated() {
    let hex = seed("relay").to_string();
    let variables = [
        ("SIGNING_KEY", format!("{hex}0")),
        ("ENCRYPTION_KEY", hex.clone()),
        ("SPKI_PINS", format!("{hex}0")),
        ("IDLE_SLEEP_SECONDS", hex.clone()),
        ("RELAY_URL", format!("https://user:{hex}@host/")),
        ("PROXY", format!("http://user:{hex}@host:1")),
    ];
    for (name, value) in variables {
        let vault = Vault::new();
        let variable = format!("ATTESTO_LOCAL_VAULT_{name}");
        for words in [["config", "check"], ["relay", "drain"]] {
            let mut command = vault.without_config(&[["--log", "trace"], words].concat());
            command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", "ins_1").env("ATTESTO_LOCAL_VAULT_KEY_ID", "k");
            let done = Done::of(command.env(&variable, &value));
            assert_ne!(done.code, Some(0), "{name}: {done:?}");
            has_no_secret(&done);
        }
        has_no_secret(&Done::of(vault.without_config(&["--help"]).env(&variable, &value)));
    }
}
