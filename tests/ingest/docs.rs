use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use local_vault::config::{Flags, Settings};
use local_vault::protocol::json;

use super::client::event;
use super::server::{Server, wait_until};

const SOCKET: &str = "/run/local-vault/ingest.sock";

/// The first block of this kind in `docs/ingest.md` that holds this text.
fn block(kind: &str, text: &str) -> String {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ingest.md")).unwrap();
    let blocks =
        document.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix(kind)?.strip_prefix('\n'));
    blocks.map(str::to_owned).find(|block| block.contains(text)).unwrap()
}

/// What a command prints, which is to end well.
fn output(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_curl_example_submits_an_event() {
    let server = Server::start();
    let script = block("sh", "curl").replace(SOCKET, server.socket().to_str().unwrap());
    let answer = json::parse(output(Command::new("sh").arg("-c").arg(script), "").as_bytes()).unwrap();
    assert_eq!(answer.get_str("source_ref"), Some("inv-2026-0001"));
    let [spooled] = server.events().try_into().unwrap();
    assert_eq!(answer.get_str("event_id"), Some(spooled.event_id.to_string().as_str()));
}

#[test]
fn the_python_example_submits_events_and_submits_them_again() {
    let server = Server::start();
    fs::write(server.path("submit.py"), block("python", "def submit")).unwrap();
    let lines: String = (0..20).map(|n| event("s", &format!("r{n}"), "{}") + "\n").collect();
    let submit = || {
        let (script, socket) = (server.path("submit.py"), server.socket());
        let printed = output(Command::new("python3").arg(script).arg(socket), &lines);
        printed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut events = server.events();
    assert_eq!(events.len(), 0);
    let ids = submit();
    events = server.events();
    events.sort_by_key(|event| event.seq);
    assert_eq!(ids, events.iter().map(|event| event.event_id.to_string()).collect::<Vec<_>>());
    assert_eq!(submit(), ids);
}

#[test]
fn the_python_example_waits_until_the_keys_are_back() {
    let server = Server::start();
    server.go_away();
    fs::write(server.path("submit.py"), block("python", "def submit")).unwrap();
    let mut command = Command::new("python3");
    command.arg(server.path("submit.py")).arg(server.socket()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all((event("s", "r", "{}") + "\n").as_bytes()).unwrap();
    wait_until(|| server.refused() > 0);
    server.come_back();
    let printed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(printed.trim(), server.events()[0].event_id.to_string());
}

#[test]
fn the_configuration_is_taken_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    fs::write(&config, block("toml", "[ingest]").replace("\"billing\"", "\"root\"")).unwrap();
    let settings = Settings::load(&Flags { config: Some(config), ..Flags::default() }, &|_| Ok(None)).unwrap();
    assert_eq!((settings.ingest.socket.as_path(), settings.ingest.mode), (Path::new(SOCKET), 0o660));
    let [producer] = settings.ingest.producers.unwrap().try_into().unwrap();
    assert_eq!((producer.uid, producer.events_per_second, producer.may_claim), (0, Some(500), true));
}
