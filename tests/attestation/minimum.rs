//! What is asked for is reached, or nothing is signed with the relay key.

use local_vault::protocol::json::Value;

use super::place::{Done, Loop, Place};

/// `[attestation]` in front of `[custody]`.
fn asks(place: &Place, what: &str) {
    place.reconfigure("[custody]\n", &format!("[attestation]\n{what}\n\n[custody]\n"));
}

const MEND: &str =
    "Nothing was signed. Mend that, or write a lower attestation.minimum (ATTESTO_LOCAL_VAULT_ASSURANCE).";
const NO_TPM: &str = "this build speaks to no TPM";

#[test]
fn a_token_is_enough_for_l1_and_not_for_l2() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    asks(&place, "minimum = \"L1\"");
    place.ok(&["relay", "drain"]);
    assert_eq!(place.count("receipted"), 1);

    place.attest("b");
    place.reconfigure("minimum = \"L1\"", "minimum = \"L2\"");
    for words in [["relay", "drain"], ["relay", "test"], ["attestation", "self-test"]] {
        let words: Vec<&str> = words.into_iter().chain((words[1] == "test").then_some("--stream-id=s")).collect();
        place.run(&words).fails(78, "L2 is asked for and cannot be shown: no quote is configured", MEND);
    }
    // The published commands have one code for everything.
    assert_eq!(place.run(&["drain-once"]).code, Some(1));
    assert_eq!(place.run(&["drain-loop"]).code, Some(1));
    assert_eq!(place.count("queued"), 1, "nothing was sent");
}

#[test]
fn a_key_in_software_is_not_enough_for_l1() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("relay.key");
    super::softhsm::write_secret(&key, &"07".repeat(32));
    let config = "[custody.keys.relay]\nfile = \"relay.key\"\nkid = \"k1\"\n[attestation]\nminimum = \"L1\"\n";
    std::fs::write(folder.path().join("local-vault.toml"), config).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_local-vault"));
    command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
    command.args(["--config", "local-vault.toml", "attestation", "self-test"]);
    let refused = "L1 is asked for and cannot be shown: the relay key is not in a token";
    Done::of(&mut command).fails(78, refused, MEND);

    std::fs::write(folder.path().join("local-vault.toml"), config.replace("L1", "L0")).unwrap();
    let said = Done::of(&mut command).ok();
    assert_eq!(said, "L0: the relay key is not in a token, and there is nothing to attest\n");
}

#[test]
fn a_quote_that_is_configured_is_asked_for_unless_it_is_written_that_less_will_do() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    asks(&place, "quote.tcti = \"swtpm:host=localhost,port=1\"");
    let refused = place.run(&["relay", "drain"]);
    // Without a TPM backend the build is the reason; with one, nobody listens there, and the TPM is away.
    assert!([Some(78), Some(69)].contains(&refused.code), "{refused:?}");
    place.reconfigure("quote.tcti", "minimum = \"L1\"\nquote.tcti");
    place.ok(&["relay", "drain"]);
    let done = place.run(&["attestation", "self-test", "--json"]);
    assert_eq!(done.code, refused.code, "{done:?}");
    assert!(done.err.starts_with("Downgraded to L1, as the configuration allows: "), "{done:?}");
    assert!(done.out.contains("\"assurance\": \"L1\"") && done.out.contains("\"ok\": false"), "{done:?}");
    if done.err.contains(NO_TPM) {
        place.reconfigure("minimum = \"L1\"\n", "");
        let refused = format!("L2 is asked for and cannot be shown: {NO_TPM}");
        place.run(&["relay", "drain"]).fails(78, &refused, MEND);
    }
}

#[test]
fn a_token_that_is_away_is_waited_for_and_its_level_not_doubted() {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    asks(&place, "minimum = \"L1\"");
    place.softhsm.take_away();
    assert_eq!(place.run(&["relay", "drain"]).code, Some(69));
    assert_eq!(place.run(&["attestation", "self-test"]).code, Some(69));
    let relay = Loop::start(&mut place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]));
    assert_eq!(relay.next().get_str("error"), Some("signing-key-unavailable"));
    place.softhsm.put_back();
    relay.until(|line| line.get("sent") == Some(&Value::Bool(true)));
    assert!(relay.end().contains("Recovered: events are signed again."));
    assert_eq!(sandbox.recorded_events().len(), 1);
}

#[test]
fn a_variable_may_only_say_what_the_file_says() {
    let place = Place::new(&["relay"]);
    let places = "file = \"a.json\"\nurl = \"https://attesto.example/attestations\"";
    asks(&place, &format!("minimum = \"L1\"\n{places}\n[attestation.quote]\npcrs = \"sha256:7\""));
    let check = |name: &str, value: &str| {
        let mut command = place.command(&["config", "check"]);
        Done::of(command.env(name, value)).err
    };
    let ours = |name: &str| format!("ATTESTO_LOCAL_VAULT_{name}");
    for (name, value, key) in [
        ("ASSURANCE", "L0", "attestation.minimum"),
        ("ASSURANCE", "L2", "attestation.minimum"),
        ("TPM2_PCRS", "sha256:0", "attestation.quote.pcrs"),
        ("TPM2_AK_HANDLE", "0x81010003", "attestation.quote.ak_handle"),
        ("TPM2_AK_ALGORITHM", "ecc", "attestation.quote.ak_algorithm"),
        ("ATTESTATION_FILE", "/other.json", "attestation.file"),
        ("ATTESTATION_URL", "https://evil.example/attestations", "attestation.url"),
        ("EDGE_CORE_SHA256", &"00".repeat(32), "what runs is measured itself"),
        ("EDGE_CORE_SHA256_FILE", "/sum", "what runs is measured itself"),
        ("PROVIDER_MANIFEST_DIR", "/providers", "what runs is measured itself"),
        ("ASSURANCE", "L3", "must be L0, L1 or L2"),
        ("TPM2_PCRS", "sha1:0", "must be PCRs such as"),
    ] {
        let said = check(&ours(name), value);
        assert!(said.contains(name) && said.contains(key), "{name}={value}: {said}");
    }
    assert!(check("TPM2TOOLS_TCTI", "swtpm:port=1").contains("set attestation.quote.tcti there"));
    for (name, value) in [("ASSURANCE", "L1"), ("TPM2_PCRS", "sha256:7"), ("TPM2_AK_HANDLE", "0x81010002")] {
        let said = check(&ours(name), value);
        assert!(!said.contains(name), "{name}={value}: {said}");
    }
}
