use local_vault::protocol::json::Value;

use crate::exposition::Exposition;
use crate::vault::Vault;

const PATH: &str = "spool.path = \"spool.sqlite3\"";

#[test]
fn a_full_spool_refuses_at_the_door_drops_nothing_and_relaying_makes_room() {
    let (vault, sandbox) = Vault::with_sandbox();
    vault.reconfigure(PATH, &format!("{PATH}\nspool.max_events = 2"));
    let ids = ["1", "2"].map(|n| vault.enqueue("s", n, "{}"));
    vault.write("a", "alpha");
    let advice = "Nothing was lost. Relay what waits, or raise spool.max_events.";
    vault.run(&["attest", "a"]).fails(75, &["Error: a: the spool is full: as many events wait as may.", advice]);
    let words = ["enqueue-json", "--stream-id", "s", "--source-ref", "3", "--payload-file", "payload.json"];
    vault.run(&words).fails(1, &["Error: the spool is full: as many events wait as may.", advice]);
    // What is here already is answered for.
    assert_eq!(vault.enqueue("s", "1", "{}"), ids[0]);
    assert_eq!(vault.json(&["spool", "list", "--json"]).len(), 2);

    let stats = vault.json(&["spool", "stats", "--json"]).remove(0);
    assert_eq!(stats.get_str("full"), Some("as many events wait as may"));
    assert_eq!(stats.get("fullPercent").and_then(Value::as_i64), Some(100));
    assert_eq!(stats.get_object("limits").unwrap().get("events").and_then(Value::as_i64), Some(2));
    assert!(vault.ok(&["spool", "stats"]).contains("\nfull          yes: as many events wait as may. "));
    let told = Exposition::parse(&vault.ok(&["metrics"]));
    assert_eq!(told.value("local_vault_spool_full", &[]), 1.0);
    assert_eq!(told.value("local_vault_spool_fullness", &[]), 1.0);
    assert_eq!(told.value("local_vault_spool_limit", &[("limit", "events")]), 2.0);

    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 2, conflict 0, dead 0\n");
    vault.ok(&["attest", "a"]);
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n");
    assert_eq!(sandbox.recorded_events().len(), 3);
    let told = Exposition::parse(&vault.ok(&["metrics"]));
    assert_eq!(told.value("local_vault_spool_full", &[]), 0.0);
}

#[test]
fn a_file_at_its_limit_and_a_disk_at_its_reserve_say_so_and_what_to_do() {
    let cases = [
        (
            "spool.max_bytes = 1",
            "Error: b: the spool is full: the spool's file has reached its limit.",
            "Nothing was lost. Relay what waits, purge what is settled (`local-vault spool purge`), or raise \
             spool.max_bytes.",
        ),
        (
            "spool.reserve_bytes = 9_000_000_000_000_000_000",
            "Error: b: the spool is full: the disk's reserve is reached.",
            "Nothing was lost. Make room on the disk, purge what is settled (`local-vault spool purge`), or lower \
             spool.reserve_bytes.",
        ),
    ];
    for (limit, what, advice) in cases {
        let (vault, _sandbox) = Vault::with_sandbox();
        vault.write("a", "alpha");
        vault.ok(&["attest", "a"]);
        vault.reconfigure(PATH, &format!("{PATH}\n{limit}"));
        vault.write("b", "beta");
        vault.run(&["attest", "b"]).fails(75, &[what, advice]);
        assert_eq!(vault.ok(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n", "{limit}");
    }
}

#[test]
fn metrics_tell_of_the_room_that_is_left_and_of_what_is_kept() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.reconfigure(PATH, &format!("{PATH}\nspool.max_bytes = 1_000_000_000\nspool.reserve_bytes = 0"));
    vault.enqueue("s", "1", "{}");
    vault.ok(&["relay", "drain"]);
    let told = Exposition::parse(&vault.ok(&["metrics"]));
    let value = |name: &str| told.value(name, &[]);
    assert_eq!(told.value("local_vault_spool_contents", &[("state", "receipted")]), 1.0);
    assert_eq!(told.value("local_vault_spool_limit", &[("limit", "file_bytes")]), 1e9);
    assert!(!told.has("local_vault_spool_limit", "limit", "events"), "a limit that is not set is not told of");
    assert!(value("local_vault_spool_file_bytes") > 4096.0 && value("local_vault_disk_free_bytes") > 0.0);
    assert!((0.0..0.5).contains(&value("local_vault_spool_fullness")));
    assert_eq!((value("local_vault_streams_stopped"), value("local_vault_maintenance")), (0.0, 0.0));
}

#[test]
fn a_published_spool_waits_at_a_closed_door_and_what_waits_in_ours_is_sent_all_the_same() {
    /// See tests/data/README.md.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (vault, sandbox) = Vault::with_sandbox();
    vault.secret("encryption.key", KEY);
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/published/closed.sqlite3");
    vault.write("spool.sqlite3", std::fs::read(data).unwrap());
    vault.reconfigure(PATH, &format!("{PATH}\nspool.max_events = 3"));
    let advice = "Nothing was lost. Relay what waits, or raise spool.max_events.";
    let note = format!("Nothing was imported from {}: ", vault.shown("spool.sqlite3"));
    let done = vault.run(&["spool", "import"]);
    assert_eq!(done.code, Some(75), "{done:?}");
    assert!(done.err.starts_with(&note) && done.err.ends_with(&format!("{advice}\n")), "{done:?}");
    assert!(vault.json(&["spool", "list", "--json"]).is_empty());

    vault.enqueue("s", "1", "{}");
    let done = vault.run(&["relay", "drain"]);
    assert!(done.code == Some(0) && done.err.starts_with(&note), "{done:?}");
    assert_eq!(sandbox.recorded_events().len(), 1);
    vault.reconfigure("spool.max_events = 3", "spool.max_events = 4");
    vault.ok(&["spool", "import"]);
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 4, conflict 0, dead 0\n");
}
