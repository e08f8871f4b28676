//! Disks that are full, or fail, under a service.

use std::fs;
use std::process::Command;

use super::service::Service;
use super::small_disk::SmallDisk;
use super::vault::Vault;

/// A vault whose spool lies on a small disk, and nothing else of it.
fn with_a_small_disk(vault: &Vault) {
    vault.reconfigure("spool.path = \"spool.sqlite3\"", "spool.path = \"disk/spool.sqlite3\"\naudit.path = \"audit\"");
    vault.configure("[ingest]\nsocket = \"spool.sqlite3.sock\"");
}

#[test]
fn a_full_disk_closes_the_door_and_room_opens_it_again() {
    let (vault, _sandbox) = Vault::with_sandbox();
    with_a_small_disk(&vault);
    let folder = vault.path("disk");
    let Some(disk) = SmallDisk::mount(&folder) else { return };
    let mut running = Service::of(&vault);
    running.until_state("ok");
    vault.ok(&["relay", "pause"]);
    let payload = format!("{{\"text\":\"{}\"}}", "x".repeat(20_000));
    let mut taken = 0;
    let refused = loop {
        let answer = running.client().payload("s", &format!("r-{taken}"), &payload);
        if answer.status != 201 {
            break answer;
        }
        taken += 1;
    };
    refused.is(507, "spool_full");
    assert!(refused.header("retry-after").is_some() && taken > 0);
    running.until_state("full");
    assert!(!running.has_ended());
    disk.make_room();
    assert_eq!(running.submit("r-last").status, 201);
    vault.ok(&["relay", "resume"]);
    running.until_events("receipted", taken + 1);
    running.until_state("ok");
    running.end();
}

/// `run` as a program that a limit on the length of its files does not kill: what it writes beyond fails.
fn run_behind_a_limit(vault: &Vault) -> Command {
    let run = vault.command(&["run"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" run"]).arg(run.get_program()).env_clear();
    shell.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(vault.path(""));
    shell
}

#[test]
fn a_disk_that_fails_ends_the_service_with_74_and_the_next_one_goes_on() {
    let (vault, _sandbox) = Vault::with_sandbox();
    let running = Service::start(&mut run_behind_a_limit(&vault), &vault.path("spool.sqlite3.sock"));
    running.until_state("ok");
    assert_eq!(running.submit("r-1").status, 201);
    running.until_events("receipted", 1);
    let wal = fs::metadata(vault.path("spool.sqlite3-wal")).unwrap().len();
    running.limit_files_to(wal);
    let answer = running.submit("r-2");
    answer.is(503, "store_failed");
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(74), "{said}");

    let running = Service::of(&vault);
    running.until_state("ok");
    // It may or may not be there: sent again, it is there once.
    assert!([200, 201].contains(&running.submit("r-2").status));
    running.until_events("receipted", 2);
    running.end();
}
