use super::home::{Home, queued};

/// The settings of a process that does nothing but enqueue.
fn cron() -> Home {
    ["SIGNING_KEY", "KEY_ID", "INSTALLATION_ID", "WITNESS_ID", "RELAY_URL"].into_iter().fold(Home::new(), Home::without)
}

#[test]
fn the_encryption_key_alone_is_enough() {
    cron().spool("s", "r", r#"{"a":1}"#);
}

#[test]
fn the_same_content_is_the_same_event() {
    let home = cron();
    let id = home.spool("s", "r", r#"{"a":1,"b":2.0}"#);
    for same in [r#"{"a":1,"b":2.0}"#, r#"{ "b": 2.0, "a": 1 }"#, r#"{"a":1,"b":0.2e1}"#] {
        home.enqueue("s", "r", same).is(0, &queued(&id));
    }
    for other in [r#"{"a":1,"b":2}"#, "{}"] {
        home.enqueue("s", "r", other).is(1, "");
    }
    home.enqueue("s", "r", r#"{"a":1,"b":2.0}"#).is(0, &queued(&id));
}

#[test]
fn one_source_ref_in_two_streams_is_two_events() {
    let home = cron();
    assert_ne!(home.spool("s", "r", "{}"), home.spool("s2", "r", "{}"));
}

#[test]
fn ids_are_taken_as_they_are() {
    let home = cron();
    let long = "r".repeat(3000);
    for (stream, source_ref) in
        [("", ""), ("straße", "漢字 🔑"), ("-5", "-1.5"), ("-", "-"), ("a\nb", "\x7f"), ("s", &long)]
    {
        home.spool(stream, source_ref, "{}");
    }
}

#[test]
fn a_payload_that_is_no_strict_json_object_ends_with_1() {
    let home = cron();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(600), "]".repeat(600));
    let digits = format!("{{\"n\":{}}}", "9".repeat(4301));
    let refused = [
        "",
        "[1]",
        "\"x\"",
        "null",
        "hello",
        "{\"a\":",
        "{} {}",
        "{\"a\":1,}",
        "{'a':1}",
        "\u{feff}{}",
        "{\"n\":NaN}",
        "{\"n\":1e400}",
        "{\"s\":\"\\ud800\"}",
        "{\"a\":1,\"a\":2}",
        &deep,
        &digits,
    ];
    for payload in refused {
        home.enqueue("s", payload.get(..20).unwrap_or(payload), payload).is(1, "");
    }
    home.write("payload.json", b"{\"a\":\"\xff\"}");
    home.run(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "payload.json"]).is(1, "");
    home.run(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "none.json"]).is(1, "");
    home.run(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "."]).is(1, "");
}

#[test]
fn a_key_that_is_missing_or_none_ends_with_1() {
    for key in ["", "x", "AAAA", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"] {
        let home = cron().with("ENCRYPTION_KEY", key);
        home.enqueue("s", "r", "{}").is(1, "");
    }
    cron().without("ENCRYPTION_KEY").enqueue("s", "r", "{}").is(1, "");
}

#[test]
fn every_published_form_of_the_key_opens_the_same_spool() {
    let home = cron().with("ENCRYPTION_KEY", "--_--_--_--_--_--_--_--_--_--_--_--_--_--_8=");
    let id = home.spool("s", "r", "{}");
    let home = home.with("ENCRYPTION_KEY", "++/++/++/++/++/++/++/++/++/++/++/++/++/++/8=\n");
    home.enqueue("s", "r", "{}").is(0, &queued(&id));
}

#[test]
fn a_spool_of_another_key_is_refused() {
    let home = cron();
    let id = home.spool("s", "r", "{}");
    let home = home.with("ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    home.enqueue("s", "r", "{}").is(1, "");
    home.enqueue("s", "r2", "{}").is(1, "");
    let home = home.with("ENCRYPTION_KEY", super::home::ENCRYPTION_KEY);
    home.enqueue("s", "r", "{}").is(0, &queued(&id));
}

#[test]
fn the_flag_names_the_spool_before_the_environment_does() {
    let home = cron().with("SPOOL_DB", "e.sqlite3");
    let flags = ["enqueue-json", "--stream-id=s", "--source-ref=r", "--payload-file=payload.json"];
    home.write("payload.json", "{}");
    assert_eq!(home.run(&flags).code, 0);
    assert_eq!(home.run(&[["--spool-db", "new/folder/f.sqlite3"].as_slice(), &flags].concat()).code, 0);
    assert!(home.path("e.sqlite3").exists() && home.path("new/folder/f.sqlite3").exists());
    assert!(!home.path(super::home::SPOOL).exists());
}

#[test]
fn flags_are_read_as_argparse_reads_them() {
    let home = cron();
    home.write("payload.json", "{}");
    let rest = ["--so", "r", "--p=payload.json"];
    let said = home.run(&[["enqueue-json", "--st", "s", "--stream-id=t"].as_slice(), &rest].concat());
    home.enqueue("t", "r", "{}").is(0, &said.out);
    home.run(&[["enqueue-json"].as_slice(), &rest].concat()).is(2, "");
    home.run(&[["enqueue-json", "--s", "s"].as_slice(), &rest].concat()).is(2, "");
    home.run(&[["enqueue-json", "--st", "s", "x"].as_slice(), &rest].concat()).is(2, "");
}

#[test]
fn what_is_no_spool_is_refused_and_not_touched() {
    let home = cron().with("SPOOL_DB", "notes.txt");
    let notes = "no database\n".repeat(1000);
    home.write("notes.txt", &notes);
    home.enqueue("s", "r", "{}").is(1, "");
    assert_eq!(std::fs::read_to_string(home.path("notes.txt")).unwrap(), notes);
}
