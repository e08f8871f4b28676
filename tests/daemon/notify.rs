//! What systemd is told (sd_notify(3)): the tests listen in its place.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use local_vault::protocol::json::Value;
use rusqlite::Connection;
use rustix::process::Signal;

use super::service::{Service, service};
use super::vault::Vault;

/// Only a service that is broken says nothing for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of the socket that systemd has.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(vault: &Vault) -> Self {
        let socket = UnixDatagram::bind(vault.path("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message, a line an assignment.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.0.recv(&mut message).expect("a message of the service");
        String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned).collect()
    }

    /// Everything up to a message of which this is true, that one included.
    fn until(&self, is: impl Fn(&str) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let message = self.next();
            let found = message.iter().any(|line| is(line));
            all.extend(message);
            if found {
                return all;
            }
        }
    }
}

fn start(vault: &Vault, watchdog: Option<&str>) -> Service {
    let mut command = vault.command(&["run"]);
    command.env("NOTIFY_SOCKET", vault.path("notify"));
    command.envs(watchdog.map(|limit| ("WATCHDOG_USEC", limit)));
    Service::start(&mut command, &vault.path("spool.sqlite3.sock"))
}

/// Lines that say how the service is come at any time.
fn without_status(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().filter(|line| !line.starts_with("STATUS=")).collect()
}

#[test]
fn systemd_is_told_in_order_of_the_start_a_reload_and_the_end() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let systemd = Systemd::listen(&vault);
    let running = start(&vault, None);
    let ready = systemd.next();
    assert_eq!(ready, ["READY=1", "STATUS=ok, 0 unsettled"]);
    running.signal(Signal::HUP);
    let reload = without_status(systemd.until(|line| line == "READY=1"));
    let [reloading, at, ready] = reload.as_slice() else { panic!("{reload:?}") };
    assert_eq!((reloading.as_str(), ready.as_str()), ("RELOADING=1", "READY=1"));
    let at: i128 = at.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(at > 0);
    running.signal(Signal::TERM);
    assert_eq!(without_status(systemd.until(|line| line == "STOPPING=1")), ["STOPPING=1"]);
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn a_reload_before_the_start_is_over_tells_systemd_nothing() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.enqueue("s", "r-1", "{}");
    let systemd = Systemd::listen(&vault);
    let other = Connection::open(vault.path("spool.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let running = start(&vault, None);
    running.signal(Signal::HUP);
    running
        .until(|status| service(status, "reloaded_at") != &Value::Null && status.get_str("state") == Some("starting"));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(systemd.next()[0], "READY=1");
    running.end();
}

#[test]
fn the_watchdog_is_fed_and_no_longer_while_the_store_hangs() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let systemd = Systemd::listen(&vault);
    let running = start(&vault, Some("2000000"));
    systemd.until(|line| line == "WATCHDOG=1");

    // Whoever holds the lock of the database holds its writer, as a disk does that no longer answers.
    let other = Connection::open(vault.path("spool.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hangs = |line: &str| line == "STATUS=the spool or the relay does not answer";
    systemd.until(hangs);
    let meanwhile = [systemd.until(hangs), systemd.until(hangs)].concat();
    assert!(!meanwhile.iter().any(|line| line.starts_with("WATCHDOG")), "{meanwhile:?}");
    // Status is answered all the same.
    assert_eq!(running.status().get_str("state"), Some("ok"));
    other.execute_batch("ROLLBACK").unwrap();
    systemd.until(|line| line == "WATCHDOG=1");
    assert_eq!(running.submit("r").status, 201);
    let status = systemd.until(|line| line.starts_with("STATUS=ok, 0 unsettled, last receipt "));
    assert!(status.len() > 1);
    running.end();
}

#[test]
fn what_any_user_may_ask_systemd_for_has_no_reason() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let systemd = Systemd::listen(&vault);
    let running = start(&vault, Some("400000"));
    systemd.until(|line| line == "READY=1");
    vault.ok(&["maintenance", "on", "--reason", "the disk is being moved"]);
    systemd.until(|line| line == "STATUS=maintenance, 0 unsettled");
    assert_eq!(running.status().get_str("reason"), Some("the disk is being moved"));
    running.end();
}

#[test]
fn an_end_that_takes_long_is_called_that_and_feeds_the_watchdog() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.configure("[run]\ndrain_seconds = 3600");
    let systemd = Systemd::listen(&vault);
    let running = start(&vault, Some("400000"));
    systemd.until(|line| line == "WATCHDOG=1");
    let other = Connection::open(vault.path("spool.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut client = running.client();
    client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n");
    running.signal(Signal::TERM);
    systemd.until(|line| line == "STOPPING=1");
    let meanwhile = [systemd.until(|line| line == "WATCHDOG=1"), systemd.until(|line| line == "WATCHDOG=1")].concat();
    let others = |line: &&String| line.starts_with("STATUS=") && *line != "STATUS=ends what is under way";
    assert_eq!(meanwhile.iter().find(others), None);
    running.signal(Signal::TERM);
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn without_a_watchdog_none_is_fed() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let systemd = Systemd::listen(&vault);
    let running = start(&vault, None);
    systemd.until(|line| line == "READY=1");
    running.signal(Signal::TERM);
    let all = systemd.until(|line| line == "STOPPING=1");
    assert!(!all.iter().any(|line| line.starts_with("WATCHDOG")), "{all:?}");
    assert_eq!(running.wait().0.code(), Some(0));
}
