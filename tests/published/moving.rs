use std::collections::BTreeMap;
use std::fs;

use local_vault::protocol::json::{self, Object};

use super::custody::has_no_published_settings;
use super::home::{Home, IDLE, INSTALLATION, PUBLIC_KEY, SPOOL, WITNESS, enqueued, sent};
use super::support::Sandbox;
use super::witness::{counts, hash, submit};

const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What the fixture holds: stream, source_ref, payload, and the status that is printed once it is imported.
const EVENTS: [(&str, &str, &str, &str); 5] = [
    ("invoices", "delivered", r#"{"n":1}"#, "delivered"),
    ("invoices", "dead", r#"{"n":2.5}"#, "dead"),
    ("invoices", "inflight", r#"{"text":"grün 🔑"}"#, "queued"),
    ("orders", "retried", r#"{"n":4}"#, "queued"),
    ("orders", "queued", r#"{"n":5}"#, "queued"),
];

fn id(number: usize) -> String {
    format!("lv_{number:032x}")
}

/// A home with the published spool at its default path, and what its bytes are.
fn home() -> (Home, Vec<u8>) {
    let home = Home::new().with_the_spool_in_custody();
    home.has_published("drop-in-spool.sqlite3", SPOOL);
    let bytes = fs::read(home.path(SPOOL)).unwrap();
    (home, bytes)
}

/// The published spool is as it was, and nothing of SQLite's lies beside it.
#[track_caller]
fn is_untouched(home: &Home, bytes: &[u8]) {
    assert!(fs::read(home.path(SPOOL)).unwrap() == bytes);
    assert!(!home.path(&format!("{SPOOL}-wal")).exists() && !home.path(&format!("{SPOOL}-journal")).exists());
}

#[test]
fn a_published_spool_is_imported_at_first_open_with_one_line() {
    let (home, bytes) = home();
    let said = home.enqueue("invoices", "delivered", r#"{"n":1}"#);
    said.is(0, &enqueued(&id(1), "delivered"));
    assert!(said.one_line().contains("3 queued, 1 delivered, 1 dead"), "{}", said.err);
    for (number, (stream, source_ref, payload, status)) in EVENTS.iter().enumerate() {
        let said = home.enqueue(stream, source_ref, payload);
        said.is(0, &enqueued(&id(number + 1), status));
        said.is_quiet();
        home.enqueue(stream, source_ref, r#"{"other":1}"#).is(1, "");
    }
    is_untouched(&home, &bytes);
}

#[test]
fn what_was_pending_is_delivered_under_the_same_ids_and_goes_on_counting() {
    let (home, bytes) = home();
    let sandbox = Sandbox::start(&["--plain-http", "--trust", &format!("{INSTALLATION}={PUBLIC_KEY}")]);
    let home = home.with("RELAY_URL", sandbox.url());
    let said = home.run(&["drain-loop", "--idle-sleep-seconds", "0", "--max-iterations", "4"]);
    assert_eq!(said.code, 0);
    // Two streams: each in its order, and they in any.
    let mut lines: Vec<_> = said.out.split_inclusive('\n').collect();
    lines.sort_unstable();
    let mut expected = [3, 4, 5].map(|number| sent(&id(number))).to_vec();
    expected.push(IDLE.to_owned());
    expected.sort_unstable();
    assert_eq!(lines, expected);
    let attempts: BTreeMap<String, i64> = sandbox.recorded_events().iter().map(attempt).collect();
    assert_eq!(attempts, BTreeMap::from([(id(3), 2), (id(4), 3), (id(5), 1)]));
    is_untouched(&home, &bytes);
}

fn attempt(request: &Object) -> (String, i64) {
    let body = json::parse(request.get_str("body").unwrap().as_bytes()).unwrap();
    let envelope = body.get_object("envelope").unwrap();
    (envelope.get_str("event_id").unwrap().to_owned(), envelope.get("attempt").unwrap().as_i64().unwrap())
}

#[test]
fn ours_is_used_when_the_published_file_is_gone() {
    let (home, _) = home();
    assert_eq!(home.enqueue("orders", "queued", r#"{"n":5}"#).code, 0);
    fs::remove_file(home.path(SPOOL)).unwrap();
    let said = home.enqueue("invoices", "dead", r#"{"n":2.5}"#);
    said.is(0, &enqueued(&id(2), "dead"));
    said.is_quiet();
    assert!(!home.path(SPOOL).exists());
}

#[test]
fn under_another_key_it_is_refused_and_not_opened_as_empty() {
    let (home, bytes) = home();
    let home = home.with("ENCRYPTION_KEY", OTHER_KEY);
    for command in ["drain-once", "drain-loop"] {
        home.run(&[command]).is(1, "");
    }
    let said = home.enqueue("s", "r", "{}");
    said.is(1, "");
    assert!(said.err.contains(&id(1)), "{}", said.err);
    assert!(!home.path(&format!("{SPOOL}.local-vault")).exists());
    let home = home.with("ENCRYPTION_KEY", super::home::ENCRYPTION_KEY);
    home.enqueue("orders", "queued", r#"{"n":5}"#).is(0, &enqueued(&id(5), "queued"));
    is_untouched(&home, &bytes);
}

#[test]
fn spool_import_takes_it_over_elsewhere_and_once() {
    let (home, bytes) = home();
    let import = ["--spool-db", "ours.sqlite3", "spool", "import", SPOOL];
    let first = home.run(&import);
    first.is(0, "the spool is ours.sqlite3\n");
    assert!(first.one_line().contains("3 queued, 1 delivered, 1 dead"), "{}", first.err);
    let again = home.run(&import);
    again.is(0, "the spool is ours.sqlite3\n");
    again.is_quiet();
    is_untouched(&home, &bytes);
    assert!(!home.path(&format!("{SPOOL}.local-vault")).exists());
}

#[test]
fn spool_import_under_another_key_makes_no_spool() {
    let (home, _) = home();
    let home = home.with("ENCRYPTION_KEY", OTHER_KEY);
    let said = home.run(&["--spool-db", "ours.sqlite3", "spool", "import", SPOOL]);
    assert_ne!(said.code, 0);
    assert!(!home.path("ours.sqlite3").exists());
}

#[test]
fn a_published_witness_goes_on_from_its_head() {
    if has_no_published_settings() {
        return;
    }
    let home = Home::new();
    home.has_published("drop-in-witness.sqlite3", WITNESS);
    home.has_published("drop-in-receipt.json", "receipt.json");
    let bytes = fs::read(home.path(WITNESS)).unwrap();
    let (a, b, c) = (hash('a'), hash('b'), hash('c'));

    // To count takes no key, and to take over takes the witness's.
    counts(&home, 1, 3);
    let replay = submit(&home, "6", &b, Some(&a));
    assert!(replay.err.contains("2 heads, 3 receipts, 1 fork evidence"), "{}", replay.err);
    let receipt = fs::read_to_string(home.path("receipt.json")).unwrap();
    let receipt = receipt.trim_end();
    replay.is(
        0,
        &format!("{{\"accepted\": true, \"forkEvidence\": null, \"receipt\": {receipt}, \"replayed\": true}}\n"),
    );
    let fork = submit(&home, "7", &c, Some(&a));
    assert!(fork.out.starts_with("{\"accepted\": false"), "{fork:?}");
    assert!(!fork.err.contains("Imported"), "{}", fork.err);
    assert!(submit(&home, "7", &c, Some(&b)).out.starts_with("{\"accepted\": true"));
    counts(&home, 2, 4);
    assert!(fs::read(home.path(WITNESS)).unwrap() == bytes);
    fs::remove_file(home.path(WITNESS)).unwrap();
    counts(&home, 2, 4);
}

#[test]
fn a_published_witness_that_cannot_be_taken_over_is_refused_by_name() {
    if has_no_published_settings() {
        return;
    }
    let edits = [
        ("ALTER TABLE witness_receipts RENAME COLUMN receipt_json TO receipt", "no such column: receipt_json"),
        ("DROP TABLE witness_fork_evidence", "no such table: witness_fork_evidence"),
        ("UPDATE witness_receipts SET receipt_json = zeroblob(3)", "a row of witness_receipts"),
        ("UPDATE witness_stream_state SET checkpoint_id = 'other'", "its receipt names another checkpoint_id"),
        ("UPDATE witness_stream_state SET checkpoint_hash = 'other'", "there is no receipt for it"),
    ];
    for (edit, why) in edits {
        let home = Home::new();
        home.has_published("drop-in-witness.sqlite3", WITNESS);
        rusqlite::Connection::open(home.path(WITNESS)).unwrap().execute_batch(edit).unwrap();
        let said = submit(&home, "7", &hash('c'), None);
        said.is(1, "");
        assert!(said.err.contains(why) && !said.err.contains("defect"), "{edit}: {}", said.err);
    }
}

#[test]
fn one_database_in_the_place_of_the_other_is_refused_by_name() {
    if has_no_published_settings() {
        return;
    }
    let home = Home::new();
    home.has_published("drop-in-witness.sqlite3", SPOOL);
    home.has_published("drop-in-spool.sqlite3", WITNESS);
    let (spool, witness) = (home.run(&["drain-once"]), home.run(&["witness-counts"]));
    spool.is(1, "");
    witness.is(1, "");
    assert!(spool.err.contains(SPOOL) && witness.err.contains(WITNESS), "{} {}", spool.err, witness.err);
}
