//! How a service ends, and what the next one finds.

use local_vault::protocol::json::Value;
use rusqlite::Connection;
use rustix::process::Signal;

use super::client::{Client, event};
use super::service::Service;
use super::support::{Sandbox, wait_until};
use super::vault::{INSTALLATION, Vault, public_key};

/// A receiver that does not answer the first event that it gets.
fn stalling() -> (Vault, Sandbox) {
    let trusted = format!("{INSTALLATION}={}", public_key("relay"));
    let sandbox = Sandbox::start(&["--trust", &trusted, "--behave", "stall:1"]);
    let vault = Vault::new();
    vault.configure(&format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}", sandbox.url(), sandbox.ca_file()));
    (vault, sandbox)
}

/// A service with a send in flight that the receiver does not answer.
fn with_a_send_in_flight(vault: &Vault, sandbox: &Sandbox) -> Service {
    let running = Service::of(vault);
    running.until_state("ok");
    assert_eq!(running.submit("r").status, 201);
    wait_until(|| (!sandbox.recorded_events().is_empty()).then_some(()));
    running
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_end_and_nobody_is_let_in() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let running = Service::of(&vault);
    running.until_state("ok");
    let body = event("s", "r", "{}");
    let (mut client, mut idle) = (running.client(), running.client());
    assert_eq!(idle.get("/v1/status").status, 200);
    let length = body.len();
    let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\nExpect: 100-continue");
    client.send(format!("POST /v1/events HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes());
    // The service has it in hand, and waits for its body.
    assert_eq!(client.read().unwrap().status, 100);
    client.send(&body.as_bytes()[..10]);
    running.signal(Signal::TERM);
    assert!(idle.read().is_none(), "a connection that waits for nothing is closed");
    let connect = || std::os::unix::net::UnixStream::connect(vault.path("spool.sqlite3.sock"));
    wait_until(|| connect().is_err().then_some(()));
    client.send(&body.as_bytes()[10..]);
    let answer = client.read().unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!vault.path("spool.sqlite3.sock").exists());
    assert!(vault.ok(&["status"]).contains("installation  ins_1"));
}

#[test]
fn a_send_that_is_in_flight_is_settled_before_the_end() {
    let (vault, sandbox) = stalling();
    vault.configure("[run]\ndrain_seconds = 60");
    let running = with_a_send_in_flight(&vault, &sandbox);
    // It ends with the deadline of the send.
    let said = running.end();
    assert!(!said.contains("ended before"), "{said}");
    assert_eq!(vault.json(&["spool", "list", "--json"])[0].get_str("state"), Some("queued"));
}

#[test]
fn what_is_not_settled_in_time_is_taken_back_by_the_next_start() {
    let (vault, sandbox) = stalling();
    vault.configure("[run]\ndrain_seconds = 0.1");
    let said = with_a_send_in_flight(&vault, &sandbox).end();
    assert!(said.contains("ended before everything was settled"), "{said}");
    let left = vault.json(&["spool", "list", "--json"]);
    assert_eq!(left[0].get_str("state"), Some("relaying"));
    let running = Service::of(&vault);
    running.until_events("receipted", 1);
    running.end();
    let sent = sandbox.recorded_events();
    assert_eq!(sent.len(), 2);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (vault, sandbox) = stalling();
    vault.configure("[run]\ndrain_seconds = 3600\n[log]\nlevel = \"info\"");
    let running = with_a_send_in_flight(&vault, &sandbox);
    running.signal(Signal::INT);
    running.until_said("the service ends");
    running.signal(Signal::TERM);
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("a second signal came"), "{said}");
}

#[test]
fn after_a_kill_the_next_one_takes_the_socket_over_and_sends_what_was_in_flight() {
    let (vault, sandbox) = stalling();
    with_a_send_in_flight(&vault, &sandbox).kill();
    assert!(vault.path("spool.sqlite3.sock").exists());
    let running = Service::of(&vault);
    running.until_events("receipted", 1);
    // What was acknowledged before is the same event.
    let again = running.submit("r");
    assert_eq!((again.status, again.object().get("known")), (200, Some(&Value::from(true))));
    running.end();
    vault.ok(&["audit", "verify"]);
}

/// A client whose request is under way for as long as it lives.
fn holding(running: &Service) -> Client {
    let mut client = running.client();
    let head = "Content-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue";
    client.send(format!("POST /v1/events HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes());
    assert_eq!(client.read().unwrap().status, 100);
    client
}

#[test]
fn what_ended_it_is_its_code_although_a_client_holds_the_end_up() {
    let (vault, _sandbox) = Vault::with_sandbox_that(&["revoke"]);
    vault.configure("idle_sleep_seconds = 0.1\n[run]\ndrain_seconds = 0.5");
    let running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.submit("r").status, 201);
    running.until_state("revoked");
    let client = holding(&running);
    vault.ok(&["relay", "resume", "--installation-id", "ins_2"]);
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("run.drain_seconds are over"), "{said}");
    assert!(said.contains("Error: the spool belongs to the installation ins_2, not to ins_1."), "{said}");
    let log = vault.ok(&["audit", "show", "--kind", "CommandFailed"]);
    assert!(log.contains("run") && log.contains("78"), "{log}");
    drop(client);
}

/// A service whose store does not answer, with an event that waits for it.
fn with_a_store_that_hangs(vault: &Vault) -> (Service, Connection, Client) {
    let running = Service::of(vault);
    running.until_state("ok");
    let other = Connection::open(vault.path("spool.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (mut client, body) = (running.client(), event("s", "r", "{}"));
    let head = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    client.send(format!("POST /v1/events HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}").as_bytes());
    (running, other, client)
}

#[test]
fn a_store_that_hangs_does_not_keep_it_beyond_the_deadline() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.configure("[run]\ndrain_seconds = 0.5");
    let (running, other, mut client) = with_a_store_that_hangs(&vault);
    let said = running.end();
    assert!(said.contains("run.drain_seconds are over"), "{said}");
    assert!(client.read().is_none(), "nobody is told of an event that was not spooled");
    drop(other);
    vault.ok(&["audit", "verify"]);
    assert_eq!(vault.json(&["spool", "list", "--json"]).len(), 0);
}

#[test]
fn a_store_that_hangs_does_not_keep_it_from_a_second_signal() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.configure("[run]\ndrain_seconds = 3600\n[log]\nlevel = \"info\"");
    let (running, _other, _client) = with_a_store_that_hangs(&vault);
    running.signal(Signal::TERM);
    running.until_said("the service ends");
    let said = running.end();
    assert!(said.contains("a second signal came"), "{said}");
}
