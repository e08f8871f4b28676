//! The spool from the command line.

mod dead_letters;
mod export;
mod full;
mod keyless;
mod purge;
mod stopped;
mod verify;

use local_vault::protocol::json::{Object, Value};
use rusqlite::Connection;

use super::vault::{STREAM, Vault, names};

/// A vault with these files attested, one after the other, and their events' ids.
fn attested(files: &[&str]) -> (Vault, Vec<String>) {
    let vault = Vault::new();
    let attest = |file: &&str| {
        vault.write(file, file);
        vault.json(&["attest", file, "--json"])[0].get_str("eventId").unwrap().to_owned()
    };
    let ids = files.iter().map(attest).collect();
    (vault, ids)
}

fn ids(events: &[Object]) -> Vec<&str> {
    events.iter().map(|event| event.get_str("eventId").unwrap()).collect()
}

const MEMBERS: [&str; 12] = [
    "attempt",
    "createdAt",
    "epoch",
    "eventId",
    "failures",
    "lastError",
    "payloadSha256",
    "payloadSize",
    "seq",
    "sourceRef",
    "state",
    "streamId",
];

#[test]
fn events_are_listed_in_the_order_they_were_spooled() {
    let (vault, attested) = attested(&["b", "a", "c"]);
    let events = vault.json(&["spool", "list", "--json"]);
    assert_eq!(ids(&events), attested);
    assert!(events.iter().all(|event| names(event) == MEMBERS));
    let table = vault.ok(&["spool", "list"]);
    let first: Vec<&str> = table.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(first[1..], attested);
}

#[test]
fn a_list_can_be_filtered_and_gone_on_with() {
    let (vault, attested) = attested(&["a", "b", "c"]);
    let list = |more: &[&str]| vault.json(&[&["spool", "list", "--json"], more].concat());
    assert_eq!(ids(&list(&["--limit", "2"])), attested[..2]);
    assert_eq!(ids(&list(&["--after", "2"])), attested[2..]);
    assert_eq!(ids(&list(&["--state", "queued", "--stream-id", STREAM])), attested);
    assert!(list(&["--state", "dead"]).is_empty());
    assert!(list(&["--stream-id", "other"]).is_empty());
    assert_eq!(vault.run(&["spool", "list", "--limit", "2"]).err, "There may be more: --after 2\n");
    assert_eq!(vault.run(&["spool", "list", "--limit", "0"]).code, Some(64));
}

#[test]
fn a_list_sends_no_escape_sequence_to_the_terminal() {
    let vault = Vault::new();
    vault.write("p.json", "{}");
    let (stream, source_ref) = ("s\u{1b}]0;owned\u{7}", "r\u{202e}\n\u{9b}2J");
    vault.ok(&["enqueue-json", "--stream-id", stream, "--source-ref", source_ref, "--payload-file", "p.json"]);
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    for words in [["spool", "list"].as_slice(), &["spool", "show", &id]] {
        let shown = vault.ok(words);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{shown:?}");
        assert!(shown.contains("s\\u{1b}]0;owned\\u{7}") && shown.contains("r\\u{202e}\\n\\u{9b}2J"), "{shown:?}");
    }
}

#[test]
fn an_event_is_shown_with_its_payload_where_that_is_asked_for() {
    let vault = Vault::new();
    vault.write("p.json", r#"{"b":[1,2.50,null],"a":"é"}"#);
    vault.ok(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"]);
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let more = ["claims", "gap", "settledAt"];
    let shown = vault.json(&["spool", "show", &id, "--json"]).remove(0);
    let (known, new): (Vec<_>, Vec<_>) = names(&shown).into_iter().partition(|name| MEMBERS.contains(name));
    assert_eq!((known.as_slice(), new.as_slice()), (MEMBERS.as_slice(), more.as_slice()));
    let shown = vault.ok(&["spool", "show", &id, "--payload"]);
    let line = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    assert_eq!(line("payload "), Some(r#"{"a": "\u00e9", "b": [1, 2.5, null]}"#));
    assert_eq!((line("attempt "), line("lastError "), line("sourceRef ")), (Some("0"), Some("-"), Some("r")));
}

#[test]
fn an_unknown_event_is_65() {
    let (vault, _) = attested(&["a"]);
    vault.run(&["spool", "show", "lv_00000000000000000000000000000001"]).fails(
        65,
        &[
            "Error: there is no event lv_00000000000000000000000000000001 in the spool.",
            "`local-vault spool list` shows what there is.",
        ],
    );
}

#[test]
fn looking_makes_no_spool() {
    let vault = Vault::new();
    for words in
        [["spool", "list"].as_slice(), &["spool", "stats"], &["receipt", "show", "--all"], &["relay", "status"]]
    {
        vault.run(words).fails(
            78,
            &[
                &format!("Error: {} does not exist.", vault.shown("spool.sqlite3")),
                "Name the right file with --spool-db or --witness-db.",
            ],
        );
    }
    assert!(!vault.path("spool.sqlite3").exists());
}

#[test]
fn statistics_count_each_state() {
    let (vault, _) = attested(&["a", "b"]);
    let stats = &vault.json(&["spool", "stats", "--json"])[0];
    let members = [
        "diskFreeBytes",
        "epoch",
        "epochs",
        "fileBytes",
        "full",
        "fullPercent",
        "lastReceipt",
        "limits",
        "oldestPending",
        "states",
        "stopped",
    ];
    assert_eq!(names(stats), members);
    let states = stats.get_object("states").unwrap();
    assert_eq!(names(states), ["conflict", "dead", "queued", "receipted", "relaying"]);
    let events = |state| states.get_object(state).unwrap().get("events").and_then(Value::as_i64);
    assert_eq!((events("queued"), events("dead")), (Some(2), Some(0)));
    assert!(vault.ok(&["spool", "stats"]).ends_with("epoch 1 of 1\n"));
}

#[test]
fn rotation_begins_an_epoch_and_leaves_what_lies_under_the_earlier_one_readable() {
    let (vault, ids) = attested(&["a"]);
    assert_eq!(vault.ok(&["spool", "rotate"]), "epoch 2 began; earlier ones stay for what lies under them\n");
    vault.write("b", "b");
    let later = vault.json(&["attest", "b", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let epoch =
        |id: &str| vault.json(&["spool", "show", id, "--payload", "--json"])[0].get("epoch").and_then(Value::as_i64);
    assert_eq!((epoch(&ids[0]), epoch(&later)), (Some(1), Some(2)));
}

#[test]
fn importing_what_is_no_published_spool_is_an_error() {
    let vault = Vault::new();
    let refused = |words: &[&str], file: &str| {
        let error = format!("Error: {file} is not a spool of the published package.");
        vault.run(words).fails(78, &[&error, "Name another file. This one was not touched."]);
    };
    refused(&["spool", "import"], &vault.shown("spool.sqlite3"));
    assert!(!vault.path("spool.sqlite3").exists());
    vault.write("garbage", "garbage");
    refused(&["spool", "import", "garbage"], "garbage");
    refused(&["spool", "import", "."], ".");
    vault
        .run(&["spool", "import", "nothing"])
        .fails(78, &["Error: nothing does not exist.", "Name the right file with --spool-db or --witness-db."]);
}

#[test]
fn a_published_spool_at_the_spools_own_path_is_only_read() {
    let vault = Vault::new();
    let published = vault.path("spool.sqlite3");
    let db = Connection::open(&published).unwrap();
    db.execute_batch(
        "CREATE TABLE spool_events (id TEXT PRIMARY KEY, stream_id TEXT, source_ref TEXT, status TEXT,
             attempt_count INTEGER, next_attempt_at TEXT, payload_sha256 TEXT, encrypted_payload BLOB, last_error TEXT,
             created_at TEXT, updated_at TEXT)",
    )
    .unwrap();
    db.close().unwrap();
    let before = std::fs::read(&published).unwrap();
    vault.run(&["spool", "list"]).fails(
        78,
        &[
            &format!("Error: {} is a spool of the published package.", published.display()),
            "Run `local-vault spool import` once; the file itself stays as it is.",
        ],
    );
    let ours = format!("the spool is {}\n", vault.shown("spool.sqlite3.local-vault"));
    assert_eq!(vault.ok(&["spool", "import"]), ours);
    assert_eq!(vault.ok(&["spool", "import"]), ours);
    assert!(vault.json(&["spool", "list", "--json"]).is_empty());
    assert_eq!(std::fs::read(&published).unwrap(), before);
}
