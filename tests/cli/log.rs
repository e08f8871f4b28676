//! The operational log as whoever archives it meets it.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use local_vault::protocol::json::{self, Object};
use rustix::process::{Pid, Signal, kill_process};

use super::support::Sandbox;
use super::vault::{Done, Vault, objects};

/// The lines of this message.
fn lines<'a>(log: &'a [Object], message: &str) -> Vec<&'a Object> {
    log.iter().filter(|line| field(line, "message") == Some(message)).collect()
}

fn member<'a>(line: &'a Object, member: &str) -> Option<&'a Object> {
    line.get_object(member)
}

fn field<'a>(line: &'a Object, name: &str) -> Option<&'a str> {
    member(line, "fields")?.get_str(name)
}

/// The event and the request of the span that a line stands in.
#[track_caller]
fn ids<'a>(line: &'a Object, span: &str) -> (&'a str, &'a str) {
    let inside = member(line, "span").unwrap_or_else(|| panic!("{line:?}"));
    assert_eq!(inside.get_str("name"), Some(span), "{line:?}");
    (inside.get_str("event").unwrap(), inside.get_str("request").unwrap())
}

const JSON: [&str; 2] = ["--log-format", "json"];

fn said(vault: &Vault, level: &str, words: &[&str]) -> Vec<Object> {
    let done = vault.run(&[&["--log", level], &JSON, words].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    objects(&done.err)
}

#[test]
fn one_event_and_one_request_go_through_ingest_sign_relay_and_settle() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    let log = said(&vault, "info", &["attest", "a"]);
    let spooled = lines(&log, "spooled");
    assert_eq!((log.len(), spooled.len()), (1, 1), "{log:?}");
    let (event, ingested) = ids(spooled[0], "ingest");
    assert!(ingested.starts_with("req_") && event.starts_with("lv_"), "{spooled:?}");

    let log = said(&vault, "debug", &["relay", "drain"]);
    let send = format!("{event}.1");
    for (message, level) in
        [("leased", "DEBUG"), ("signed", "DEBUG"), ("posted", "DEBUG"), ("judged", "DEBUG"), ("receipted", "INFO")]
    {
        let found = lines(&log, message);
        assert_eq!(found.len(), 1, "{message}: {log:?}");
        assert_eq!((ids(found[0], "send"), found[0].get_str("level")), ((event, send.as_str()), Some(level)));
    }
}

/// What a drain says at info where the receiver behaves so, and the vault and the sandbox as they are then.
async fn drained(mode: &str) -> (Vault, Sandbox, Vec<Object>) {
    let (vault, sandbox) = Vault::with_sandbox();
    vault.write("p.json", "{}");
    vault.ok(&["enqueue-json", "--stream-id", "stream-5d", "--source-ref", "ref-5d", "--payload-file", "p.json"]);
    sandbox.behave(mode, None).await;
    let log = said(&vault, "info", &["drain-once"]);
    let text = format!("{log:?}");
    assert!(!text.contains("stream-5d") && !text.contains("ref-5d"), "{text}");
    (vault, sandbox, log)
}

#[tokio::test]
async fn at_info_a_line_tells_what_became_of_an_event() {
    for (mode, message, fields) in [
        ("reject", "refused", [("error", "http-422"), ("state", "queued")].as_slice()),
        ("conflict", "refused", &[("error", "http-409"), ("state", "conflict")]),
        ("unavailable", "not delivered", &[("error", "http-503")]),
        ("close", "not delivered", &[("error", "the receiver closed the connection without an answer")]),
        ("revoke", "the installation is revoked", &[("installation", "ins_1")]),
    ] {
        let (_vault, _sandbox, log) = drained(mode).await;
        let found = lines(&log, message);
        assert_eq!(found.len(), 1, "{mode}: {log:?}");
        let (event, request) = ids(found[0], "send");
        assert_eq!(request, format!("{event}.1"));
        fields.iter().for_each(|(name, value)| assert_eq!(field(found[0], name), Some(*value), "{mode}: {log:?}"));
    }
}

#[tokio::test]
async fn an_outage_is_told_of_when_it_begins_and_when_it_ends() {
    let (vault, sandbox, log) = drained("unavailable").await;
    assert_eq!((lines(&log, "parked").len(), lines(&log, "unparked").len()), (1, 0), "{log:?}");
    assert!(field(lines(&log, "parked")[0], "until").unwrap().ends_with('Z'), "{log:?}");
    sandbox.behave("ok", None).await;
    vault.ok(&["relay", "resume"]);
    let log = said(&vault, "info", &["relay", "drain"]);
    assert_eq!((lines(&log, "parked").len(), lines(&log, "unparked").len()), (0, 1), "{log:?}");
    assert_eq!(lines(&log, "receipted").len(), 1, "{log:?}");
}

#[test]
fn the_level_comes_from_the_config_file_and_a_flag_or_variable_goes_before_it() {
    let vault = Vault::new();
    vault.configure("[log]\nlevel = \"info\"\nformat = \"json\"");
    vault.write("a", "alpha");
    let log = objects(&vault.run(&["attest", "a"]).err);
    assert_eq!(lines(&log, "spooled").len(), 1, "{log:?}");
    vault.write("b", "beta");
    assert_eq!(vault.run(&["--log", "warn", "attest", "b"]).err, "");
    vault.write("c", "gamma");
    assert_eq!(Done::of(vault.command(&["attest", "c"]).env("ATTESTO_LOCAL_VAULT_LOG", "warn")).err, "");
    vault.write("d", "delta");
    let text = vault.run(&["--log-format", "text", "attest", "d"]).err;
    assert!(text.contains(" INFO ingest{request=\"req_") && text.ends_with(": spooled\n"), "{text}");
}

#[test]
fn without_any_setting_only_warnings_are_told() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    assert_eq!(vault.run(&["attest", "a"]).err, "");
}

#[test]
fn a_level_or_a_format_that_is_none_is_refused_with_its_line() {
    let vault = Vault::new();
    vault.write("c.toml", "[log]\nlevel = \"loud\"\nformat = \"xml\"\nfile = \"x\"\n");
    Done::of(&mut vault.without_config(&["--config", "c.toml", "relay", "status"])).fails(
        78,
        &[
            "Error: the configuration is refused:",
            "  c.toml:2: log.level must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            "  c.toml:3: log.format must be \"text\", \"json\" or \"journald\"",
            "  c.toml:4: unknown key log.file",
            "Mend each line; `local-vault config example` shows every key.",
        ],
    );
    assert_eq!(vault.run(&["--log", "loud", "relay", "status"]).code, Some(64));
}

#[test]
fn repeats_of_a_warning_are_left_out_and_counted_and_lines_at_info_are_all_there() {
    let (vault, _sandbox) = Vault::with_sandbox();
    (0..33).for_each(|n| vault.write(format!("files/{n}"), n.to_string()));
    let log = said(&vault, "info", &["attest", "files"]);
    assert_eq!(lines(&log, "spooled").len(), 33);
    let spool = rusqlite::Connection::open(vault.path("spool.sqlite3")).unwrap();
    assert_eq!(spool.execute("UPDATE contents SET sealed = zeroblob(length(sealed))", []).unwrap(), 33);
    drop(spool);
    let done = vault.run(&["--log", "error", "--log-format", "json", "relay", "drain"]);
    let log = objects(&done.err.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>().join("\n"));
    let damaged = "the record is damaged; it was set aside and nothing of it was sent";
    assert_eq!(lines(&log, damaged).len(), 20, "{done:?}");
    let told = lines(&log, "a line came too often and was left out");
    assert_eq!((told.len(), field(told[0], "line")), (1, Some(damaged)), "{done:?}");
    let times = member(told[0], "fields").unwrap().get("times").and_then(|times| times.as_i64());
    assert_eq!((times, told[0].get_str("level")), (Some(13), Some("ERROR")), "{done:?}");
}

/// A relay that goes on until the test ends, with what it says.
struct Relay {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
    said: Lines<BufReader<ChildStderr>>,
}

impl Relay {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, printed, said }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has printed that an event was sent.
    fn wait_until_sent(&mut self) {
        assert!(self.printed.any(|line| line.unwrap().contains("\"sent\": true")), "it ended");
    }

    /// Waits for the next line of the log.
    fn next(&mut self) -> Object {
        json::parse(self.said.next().expect("it ended").unwrap().as_bytes()).unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_changes_between_the_configured_level_and_debug() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let words = ["--log", "error", "--log-format", "json", "drain-loop", "--idle-sleep-seconds", "0.02"];
    let mut relay = Relay::start(&mut vault.command(&words));
    relay.printed.next().unwrap().unwrap();
    relay.signal(Signal::USR1);
    let changed = relay.next();
    assert_eq!((field(&changed, "message"), field(&changed, "now")), (Some("the log level changed"), Some("debug")));
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    relay.wait_until_sent();
    let (mut debug, mut line) = (Vec::new(), relay.next());
    while field(&line, "message") != Some("receipted") {
        debug.push(line);
        line = relay.next();
    }
    assert_eq!(lines(&debug, "posted").len(), 1, "{debug:?}");

    relay.signal(Signal::USR1);
    let back = loop {
        let line = relay.next();
        if field(&line, "message") == Some("the log level changed") {
            break line;
        }
    };
    assert_eq!(field(&back, "now"), Some("error"));
    vault.write("b", "beta");
    vault.ok(&["attest", "b"]);
    relay.wait_until_sent();
    relay.signal(Signal::TERM);
    // What was said on the way from one level to the other may still come; nothing of the second event does.
    let rest: Vec<Object> = relay.said.by_ref().map(|line| json::parse(line.unwrap().as_bytes()).unwrap()).collect();
    assert!(lines(&rest, "posted").is_empty() && lines(&rest, "receipted").is_empty(), "{rest:?}");
}
