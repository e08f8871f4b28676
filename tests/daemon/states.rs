//! Everything that holds the relay back, while the service stays up and takes events in.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::service::Service;
use super::support::Sandbox;
use super::vault::{INSTALLATION, Vault, public_key};

/// What `status` ends with.
fn code(vault: &Vault) -> Option<i32> {
    vault.run(&["status", "--json"]).code
}

fn behaving(mode: &str) -> (Vault, Sandbox) {
    let trusted = format!("{INSTALLATION}={}", public_key("relay"));
    let sandbox = Sandbox::start(&["--trust", &trusted, "--behave", mode]);
    let vault = Vault::new();
    let relay = format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}\n", sandbox.url(), sandbox.ca_file());
    vault.configure(&(relay + "idle_sleep_seconds = 0.1"));
    (vault, sandbox)
}

#[test]
fn a_revocation_stops_the_relay_and_not_the_service() {
    let (vault, _sandbox) = behaving("revoke");
    let mut running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    let status = running.until_state("revoked");
    assert_eq!(status.get_str("reason"), Some("this installation is revoked"));
    assert_eq!(code(&vault), Some(77));
    assert_eq!(running.submit("r-2").status, 201);
    running.until_events("queued", 2);
    assert!(!running.has_ended());
    running.end();
    // So it is after a restart.
    let running = Service::of(&vault);
    running.until_state("revoked");
    // The way out leads over the configuration, which still names the old installation.
    vault.ok(&["relay", "resume", "--installation-id", "ins_2"]);
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("Error: the spool belongs to the installation ins_2, not to ins_1."), "{said}");
}

#[test]
fn a_pause_holds_what_is_taken_in_until_it_ends() {
    let (vault, sandbox) = behaving("ok");
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.ok(&["relay", "pause"]);
    running.until_state("paused");
    assert_eq!(running.submit("r").status, 201);
    assert_eq!(code(&vault), Some(0));
    assert_eq!(sandbox.recorded_events().len(), 0);
    vault.ok(&["relay", "resume"]);
    running.until_events("receipted", 1);
    running.until_state("ok");
    running.end();
}

#[test]
fn a_receiver_that_is_away_parks_the_relay_alone() {
    let (vault, _sandbox) = behaving("unavailable-later");
    let running = Service::of(&vault);
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    let status = running.until_state("parked");
    assert_eq!(status.get_str("reason"), Some("http-503"));
    assert_eq!(code(&vault), Some(69));
    assert_eq!(running.submit("r-2").status, 201);
    assert!(vault.run(&["status"]).out.contains("last error    http-503 at "));
    running.end();
}

#[test]
fn maintenance_closes_the_door_and_what_waits_is_sent() {
    let (vault, _sandbox) = behaving("ok");
    let running = Service::of(&vault);
    running.until_state("ok");
    vault.ok(&["relay", "pause"]);
    assert_eq!(running.submit("r-1").status, 201);
    vault.ok(&["maintenance", "on", "--reason", "the disk is being moved"]);
    vault.ok(&["relay", "resume"]);
    running.until_events("receipted", 1);
    let status = running.until_state("maintenance");
    assert_eq!((status.get_str("reason"), code(&vault)), (Some("the disk is being moved"), Some(75)));
    let refused = running.submit("r-2");
    refused.is(503, "maintenance");
    assert!(refused.header("retry-after").is_some());
    vault.ok(&["maintenance", "off"]);
    running.until_state("ok");
    assert_eq!(running.submit("r-2").status, 201);
    running.end();
}

#[test]
fn a_relay_that_somebody_else_runs_is_waited_for_and_events_are_taken_in_meanwhile() {
    let (vault, _sandbox) = behaving("ok");
    let mut other = vault.command(&["drain-loop"]).stdout(Stdio::piped()).spawn().unwrap();
    // It has its role once it has looked; its output is read no further, and stays open.
    let (mut line, mut out) = (String::new(), BufReader::new(other.stdout.take().unwrap()));
    out.read_line(&mut line).unwrap();
    vault.ok(&["relay", "pause"]);
    let running = Service::of(&vault);
    let status = running.until_state("degraded");
    assert!(status.get_str("reason").unwrap().contains("in use"), "{}", status.to_python_line());
    assert_eq!(running.submit("r").status, 201);
    other.kill().unwrap();
    other.wait().unwrap();
    vault.ok(&["relay", "resume"]);
    running.until_events("receipted", 1);
    running.until_state("ok");
    running.end();
}

#[test]
fn a_spool_that_cannot_be_written_ends_the_service_with_its_code() {
    let (vault, _sandbox) = behaving("ok");
    vault.write(
        "spool.sqlite3",
        "this is no database, and long enough to be looked at as one, and it is not ours at all",
    );
    std::fs::set_permissions(vault.path("spool.sqlite3"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let done = vault.run(&["run"]);
    assert_eq!(done.code, Some(78), "{done:?}");
}
