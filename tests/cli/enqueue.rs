use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use local_vault::protocol::json::{Object, Value};
use rustix::process::{Pid, Signal, kill_process};

use super::vault::{Done, STREAM, Vault, objects};

fn lines(range: std::ops::Range<u32>) -> String {
    let mut lines = String::new();
    for n in range {
        writeln!(lines, r#"{{"stream_id":"{STREAM}","source_ref":"r{n}","payload":{{"n":{n}}}}}"#).unwrap();
    }
    lines
}

fn number(object: &Object, name: &str) -> i64 {
    object.get(name).and_then(Value::as_i64).unwrap()
}

fn source_refs(vault: &Vault) -> Vec<String> {
    let listed = vault.json(&["spool", "list", "--json", "--limit", "100000"]);
    let mut events: Vec<_> =
        listed.iter().map(|event| (number(event, "seq"), event.get_str("sourceRef").unwrap().to_owned())).collect();
    events.sort();
    events.into_iter().map(|(_, source_ref)| source_ref).collect()
}

/// What the audit log has of a kind.
fn entries(vault: &Vault, kind: &str) -> Vec<Object> {
    let shown = objects(&vault.ok(&["audit", "show", "--format", "jsonl", "--kind", kind]));
    shown.iter().map(|line| line.get_object("entry").unwrap().clone()).collect()
}

#[test]
fn a_file_is_spooled_in_its_order_once() {
    let vault = Vault::new();
    vault.write("events", lines(0..1500));
    assert_eq!(vault.ok(&["enqueue", "--ndjson", "events"]), "new 1500, known 0, conflict 0, refused 0\n");
    assert_eq!(vault.ok(&["enqueue", "--ndjson", "events"]), "new 0, known 1500, conflict 0, refused 0\n");
    assert_eq!(source_refs(&vault), (0..1500).map(|n| format!("r{n}")).collect::<Vec<_>>());
    // An entry a commit in the audit log, and not one an event.
    let shown = entries(&vault, "BlobWritten");
    assert_eq!(shown.iter().map(|entry| number(entry, "blobs")).sum::<i64>(), 1500);
    assert_eq!(shown.len(), 3);
}

#[test]
fn standard_input_is_read_and_attested_where_it_asks_for_that() {
    let vault = Vault::new();
    let hash = "ab".repeat(32);
    let input = format!(
        "{{\"stream_id\":\"{STREAM}\",\"source_ref\":\"a\",\"content\":\"aGVsbG8=\"}}\n\n\
         {{\"stream_id\":\"{STREAM}\",\"source_ref\":\"b\",\"payload\":{{}},\"attest\":true}}\n\
         {{\"stream_id\":\"{STREAM}\",\"source_ref\":\"c\",\"payload_hash\":\"{hash}\"}}\n\
         {{\"stream_id\":\"{STREAM}\",\"source_ref\":\"d\",\"payload\":{{}}}}"
    );
    let done = Done::of_reading(&mut vault.command(&["enqueue", "--ndjson", "-"]), input.as_bytes());
    assert_eq!(done.ok(), "new 4, known 0, conflict 0, refused 0\n");
    assert_eq!(source_refs(&vault), ["a", "b", "c", "d"]);
    let signed = entries(&vault, "KeyUsed");
    assert_eq!(signed.iter().filter(|entry| entry.get_str("purpose") == Some("source")).count(), 3);
}

#[test]
fn lines_that_are_refused_are_named_and_keep_nothing_else_back() {
    let vault = Vault::new();
    let mut text = lines(0..3);
    text += "no json\n";
    text += &lines(2..3).replace("{\"n\":2}", "{\"n\":0}");
    text += &lines(3..4);
    vault.write("events", &text);
    let advice = "Each is named above. The others are spooled; mend these, and enqueue them again.";
    vault.run(&["enqueue", "--ndjson", "events"]).fails(
        65,
        &[
            "line 4: not an event: expected a value at byte 0",
            "line 5: the source_ref already holds other content",
            "Error: 2 of the lines were refused.",
            advice,
        ],
    );
    let done = vault.run(&["enqueue", "--ndjson", "events", "--json"]);
    done.fails(65, &["Error: 2 of the lines were refused.", advice]);
    let told = objects(&done.out);
    let error = |object: &Object| object.get_object("error").unwrap().get_str("code").unwrap().to_owned();
    assert_eq!((number(&told[0], "line"), error(&told[0]).as_str()), (4, "body_invalid"));
    assert_eq!((number(&told[1], "line"), error(&told[1]).as_str()), (5, "source_ref_conflict"));
    let counts = ["new", "known", "conflict", "refused", "lastLine"].map(|name| number(&told[2], name));
    assert_eq!(counts, [0, 4, 1, 1, 6]);
    assert_eq!(source_refs(&vault), ["r0", "r1", "r2", "r3"]);
}

#[test]
fn a_signal_ends_it_at_a_line_from_which_it_goes_on() {
    let vault = Vault::new();
    let mut command = vault.command(&["enqueue", "--ndjson", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(0..2000).as_bytes()).unwrap();
    // Some of it is committed while the pipe is open.
    while source_refs_so_far(&vault) == 0 {}
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let done = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(done.status.code(), Some(75));
    let last = number(&objects(&String::from_utf8(done.stdout).unwrap())[0], "lastLine");
    let told = String::from_utf8(done.stderr).unwrap();
    let expected = format!(
        "Error: stopped after line {last}: stopped by a signal.\nNothing is lost. Go on with --from-line {}.\n",
        last + 1
    );
    assert_eq!(told, expected);
    assert_eq!(source_refs(&vault).len(), usize::try_from(last).unwrap());

    vault.write("events", lines(0..2000));
    let rest = vault.ok(&["enqueue", "--ndjson", "events", "--from-line", &(last + 1).to_string()]);
    assert_eq!(rest, format!("new {}, known 0, conflict 0, refused 0\n", 2000 - last));
    assert_eq!(source_refs(&vault), (0..2000).map(|n| format!("r{n}")).collect::<Vec<_>>());
}

fn source_refs_so_far(vault: &Vault) -> usize {
    if !vault.path("spool.sqlite3").exists() {
        return 0;
    }
    // It may be just being made.
    let listed = vault.run(&["spool", "list", "--limit", "1"]);
    if listed.code == Some(0) { listed.out.lines().count().saturating_sub(1) } else { 0 }
}

#[test]
fn the_stream_of_the_audit_logs_heads_takes_nothing_else() {
    let vault = Vault::new();
    vault.configure("[audit]\nstream_id = \"heads\"");
    vault.write("events", r#"{"stream_id":"heads","source_ref":"r","payload":{}}"#);
    let done = vault.run(&["enqueue", "--ndjson", "events"]);
    assert_eq!(done.code, Some(65));
    assert!(done.err.starts_with("line 1: "), "{}", done.err);
}

#[test]
fn a_file_that_is_not_there_is_74_and_a_line_of_none_is_64() {
    let vault = Vault::new();
    let done = vault.run(&["enqueue", "--ndjson", "events"]);
    assert_eq!(done.code, Some(74));
    assert!(done.err.starts_with("Error: cannot read events: "), "{}", done.err);
    assert_eq!(vault.run(&["enqueue", "--ndjson", "events", "--from-line", "0"]).code, Some(64));
}

#[test]
fn a_key_that_is_missing_ends_it_at_a_line() {
    let vault = Vault::new();
    let attested = format!(r#"{{"stream_id":"{STREAM}","source_ref":"x","content":"aGVsbG8="}}"#);
    // A group of payloads, and then one that is to be signed.
    vault.write("events", lines(0..512) + &attested);
    fs::remove_file(vault.path("source.key")).unwrap();
    let done = vault.run(&["enqueue", "--ndjson", "events"]);
    assert_eq!((done.code, done.out.as_str()), (Some(78), "new 512, known 0, conflict 0, refused 0\n"), "{done:?}");
    assert!(done.err.starts_with("Error: stopped after line 512: "), "{}", done.err);
    assert!(done.err.ends_with(" Go on with --from-line 513.\n"), "{}", done.err);
}

#[test]
fn maintenance_ends_it_at_a_line_with_75() {
    let vault = Vault::new();
    vault.write("events", lines(0..3));
    vault.ok(&["enqueue", "--ndjson", "events"]);
    let spool = rusqlite::Connection::open(vault.path("spool.sqlite3")).unwrap();
    spool.execute("UPDATE destination SET maintenance_at = 1, maintenance_reason = 'a new disk'", []).unwrap();
    drop(spool);
    vault.write("events", lines(0..5));
    let done = vault.run(&["enqueue", "--ndjson", "events"]);
    assert_eq!((done.code, done.out.as_str()), (Some(75), "new 0, known 3, conflict 0, refused 0\n"), "{done:?}");
    assert!(done.err.starts_with("Error: stopped after line 3: the spool is in maintenance"), "{}", done.err);
    assert!(done.err.ends_with(" Go on with --from-line 4.\n"), "{}", done.err);
}
