use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use local_vault::protocol::json::{self, Object};
use rustix::process::geteuid;

use super::service::{Service, events};
use super::support::wait_until;
use super::vault::Vault;
use super::witness::{checkpoint, rival};

/// Lets this process's user submit.
fn let_us_in(vault: &Vault) {
    let uid = geteuid().as_raw();
    vault.configure(&format!("[[witness.submitters]]\nname = \"ci\"\ntenants = [\"ten_1\"]\nuid = {uid}\n"));
}

fn submit(service: &Service, submission: &local_vault::protocol::witness::Submission) -> u16 {
    let body = submission.to_object().to_canonical();
    service.client().post("/witness/v1/checkpoints", "application/json", &body).status
}

fn witness(status: &Object) -> Option<&str> {
    status.get_object("witness")?.get_str("state")
}

#[test]
fn a_host_that_only_witnesses_runs_and_ends_well() {
    let vault = Vault::new();
    let_us_in(&vault);
    fs::remove_file(vault.path("encryption.key")).unwrap();
    vault.reconfigure("custody.file.encryption_key_file = \"encryption.key\"\n", "");
    vault.reconfigure("[custody.keys.relay]\nfile = \"relay.key\"\nkid = \"relay-1\"\n", "");
    let service = Service::of(&vault);
    service.until_state("ok");
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    assert_eq!(service.submit("ref").status, 404);
    service.end();
    let service = Service::of(&vault);
    service.until_state("ok");
    assert_eq!(submit(&service, &checkpoint(1, None)), 200);
    service.end();
}

#[test]
fn the_relay_goes_on_when_the_witness_is_stopped() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let_us_in(&vault);
    let service = Service::of(&vault);
    service.until(|status| witness(status) == Some("ok"));
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    service.end();
    let db = rusqlite::Connection::open(vault.path("witness.sqlite3")).unwrap();
    db.execute("UPDATE state SET last_time = last_time + 1", []).unwrap();
    drop(db);
    let service = Service::of(&vault);
    let status = service.until(|status| witness(status) == Some("stopped"));
    assert_eq!(status.get_object("witness").unwrap().get_str("incident"), Some("state-damaged"));
    let refused = service.client().get("/witness/v1/identity");
    assert_eq!(refused.status, 503);
    assert_eq!(service.submit("ref").status, 201);
    let status = service.until_events("receipted", 1);
    assert_eq!((status.get_str("state"), events(&status, "receipted")), (Some("degraded"), Some(1)));
    service.end();
}

#[test]
fn the_witness_goes_on_when_the_relay_cannot() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let_us_in(&vault);
    vault.write("spool.sqlite3", "this is no spool, and never was one of ours or of anybody else's");
    let service = Service::of(&vault);
    service.until(|status| witness(status) == Some("ok"));
    service.until_state("degraded");
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    service.end();
}

#[test]
fn a_command_asks_the_service_that_has_the_state_open() {
    let vault = Vault::new();
    let_us_in(&vault);
    let service = Service::of(&vault);
    service.until_state("ok");
    let c = checkpoint(1, None);
    let words = [
        "witness-checkpoint",
        "--tenant-id",
        "ten_1",
        "--stream-id",
        "str_1",
        "--checkpoint-id",
        "chk_1",
        "--checkpoint-seq-no",
        "1",
        "--checkpoint-hash",
        &c.checkpoint_hash,
    ];
    let printed = &vault.json(&words)[0];
    assert_eq!(printed.get("replayed"), Some(&false.into()));
    assert_eq!(submit(&service, &c), 200);
    service.end();
    // And the state itself where nobody has it.
    assert_eq!(vault.json(&words)[0].get("replayed"), Some(&true.into()));
}

#[test]
fn a_fork_is_told_to_the_log_the_metrics_and_the_hook() {
    let vault = Vault::new();
    let_us_in(&vault);
    vault.reconfigure("witness.rollback", "witness.fork_hook = \"hook\"\nwitness.rollback");
    vault.configure("[metrics]\nfile = \"metrics.prom\"\n");
    vault.write("hook", format!("#!/bin/sh\ncat >'{0}.part' && mv '{0}.part' '{0}'\n", vault.shown("seen.json")));
    fs::set_permissions(vault.path("hook"), Permissions::from_mode(0o755)).unwrap();
    let service = Service::of(&vault);
    service.until_state("ok");
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    assert_eq!(submit(&service, &rival(1, None)), 409);
    let bundle = wait_until(|| fs::read(vault.path("seen.json")).ok());
    let bundle = json::parse(&bundle).unwrap();
    assert_eq!(bundle.get_str("class"), Some("claim"));
    assert!(bundle.get_object("fork_evidence").is_some() && bundle.get_object("receipt").is_some());
    service.until_said("a fork was found");
    let said = service.end();
    assert!(!said.contains("str_1") && !said.contains("ten_1"), "{said}");
    let metrics = fs::read_to_string(vault.path("metrics.prom")).unwrap();
    for line in [
        "local_vault_witness_checkpoints_total{verdict=\"accepted\"} 1",
        "local_vault_witness_checkpoints_total{verdict=\"forked\"} 1",
        "local_vault_witness_stopped 0",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[test]
fn a_hook_that_hangs_holds_nothing_up() {
    let vault = Vault::new();
    let_us_in(&vault);
    vault.reconfigure("witness.rollback", "witness.fork_hook = \"hook\"\nwitness.rollback");
    vault.write("hook", format!("#!/bin/sh\necho $$ >'{}'\nexec sleep 600\n", vault.shown("pid")));
    fs::set_permissions(vault.path("hook"), Permissions::from_mode(0o755)).unwrap();
    let service = Service::of(&vault);
    service.until_state("ok");
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    assert_eq!(submit(&service, &rival(1, None)), 409);
    let pid = wait_until(|| fs::read_to_string(vault.path("pid")).ok()?.trim().parse::<i32>().ok());
    assert_eq!(submit(&service, &rival(1, None)), 409);
    assert_eq!(submit(&service, &checkpoint(2, Some(1))), 201);
    service.end();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

#[test]
fn the_same_fork_is_told_of_once_however_often_it_is_shown() {
    let vault = Vault::new();
    let_us_in(&vault);
    let service = Service::of(&vault);
    service.until_state("ok");
    assert_eq!(submit(&service, &checkpoint(1, None)), 201);
    for _ in 0..5 {
        assert_eq!(submit(&service, &rival(1, None)), 409);
    }
    let other = local_vault::protocol::witness::Submission { checkpoint_hash: "ee".repeat(32), ..rival(1, None) };
    assert_eq!(submit(&service, &other), 409);
    wait_until(|| (service.said().matches("a fork was found").count() >= 2).then_some(()));
    assert_eq!(service.end().matches("a fork was found").count(), 2);
}
