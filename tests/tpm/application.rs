//! With an application PCR on, what runs is measured, everything is released at once, and then nothing any more.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::place::{ALL, Place, RELAY, WRAPPING};
use super::process::{Done, killed_after};

const CAPPED: &str =
    "PCR 12 was extended since the boot by another program, or by another start of this one (tpm: TPM2_PolicyPCR)";
const RESTART: &str = "Secrets are released once a boot, to the first process that asks. Restart the machine, and start one \
    process that needs them.";
const OTHER: &str = "this executable or its configuration is not the one that was signed (tpm: TPM2_PCR_Extend)";
const HAVE_IT_SIGNED: &str = "Have this one signed: local-vault custody policy sign; or start the one that was.";
const UNTOUCHED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// With keys for everything, measured into PCR 12 from the next re-seal on.
fn measured() -> Place {
    let place = Place::new(&ALL);
    place.reconfigure("[custody.tpm]\n", "[custody.tpm]\napplication_pcr = 12\n");
    place.reseal(&[]);
    assert_eq!(place.swtpm.pcr(12), UNTOUCHED);
    place
}

fn reboot(place: &Place) {
    place.swtpm.stop();
    place.swtpm.start();
}

/// The binary with a byte behind it, which runs as well.
fn another_executable(place: &Place) -> PathBuf {
    let path = place.path("another");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_local-vault")).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_first_process_is_given_everything_and_the_second_nothing_until_the_next_boot() {
    let place = measured();
    for boot in ["a", "b"] {
        // Relay, wrapping and resident keys, in one process.
        place.ok(&["custody", "selftest"]);
        assert_ne!(place.swtpm.pcr(12), UNTOUCHED);
        place.try_attest(boot).fails(77, CAPPED, RESTART);
        reboot(&place);
    }
    place.attest("c");
    place.run(&["custody", "reseal", "--policy-key", "policy.pem"]).fails(77, CAPPED, RESTART);
}

#[test]
fn nothing_on_the_box_unseals_after_the_first_process() {
    let place = measured();
    // Where the PCR is open, as it is while everything is released, the same tools have it.
    let policy = String::from_utf8(fs::read(place.policy()).unwrap()).unwrap();
    let (_, digest) = policy.split_once("\"digest\":\"").unwrap();
    place.swtpm.tool("tpm2_pcrextend", &[&format!("12:sha256={}", &digest[..64])]);
    assert_eq!(place.unseal(RELAY, "7,11,12,14").unwrap().len(), 32);
    reboot(&place);
    place.ok(&["custody", "selftest"]);
    for label in [RELAY, WRAPPING] {
        place.unseal(label, "7,11,12,14").unwrap_err();
        place.unseal(label, "7,11,14").unwrap_err();
        place.stored_half(label, "7,11,12,14").unwrap_err();
    }
}

#[test]
fn resident_keys_go_on_after_the_cap() {
    let place = measured();
    place.ok(&["custody", "selftest"]);
    let done = place.run(&["custody", "selftest", "--json"]);
    assert_eq!((done.code, done.out.matches(CAPPED).count()), (Some(77), 2), "{done:?}");
    assert_eq!(done.out.matches("\"ok\"").count(), 2, "{done:?}");
}

#[test]
fn another_executable_is_refused_before_anything_is_measured() {
    let place = measured();
    let another = another_executable(&place);
    Done::of(&mut place.command_of(&another, &["spool", "rotate"])).fails(77, OTHER, HAVE_IT_SIGNED);
    assert_eq!(place.swtpm.pcr(12), UNTOUCHED);
    place.ok(&["custody", "selftest"]);
    // And behind the cap the reason is the cap.
    Done::of(&mut place.command_of(&another, &["spool", "rotate"])).fails(77, CAPPED, RESTART);
}

#[test]
fn a_configuration_whose_security_changed_is_refused_before_anything_is_measured() {
    let place = measured();
    let before = place.config();
    for (from, to) in [
        ("[custody]\n", "[relay]\nendpoint = \"https://evil.example/v1\"\n[custody]\n"),
        ("backend = \"tpm\"\n", "backend = \"tpm\"\nminimum_protection = \"device-released\"\n"),
    ] {
        place.reconfigure(from, to);
        place.run(&["spool", "rotate"]).fails(77, OTHER, HAVE_IT_SIGNED);
        assert_eq!(place.swtpm.pcr(12), UNTOUCHED);
        place.write("local-vault.toml", &before);
    }
    // What security does not rest on may change.
    place.reconfigure("str_1", "str_2");
    place.ok(&["custody", "selftest"]);
}

#[test]
fn the_next_executable_is_signed_before_it_is_there() {
    let place = measured();
    let another = another_executable(&place);
    let words = ["custody", "policy", "sign", "--policy-key", "policy.pem", "--executable", "another", "--output", "n"];
    place.ok(&words);
    place.ok(&["custody", "policy", "apply", "n"]);
    Done::of(&mut place.command_of(&another, &["custody", "selftest"])).ok();
    reboot(&place);
    place.ok(&["custody", "selftest"]);
    reboot(&place);
    // The update is done: the old one is taken back.
    let reseal = ["custody", "reseal", "--policy-key", "policy.pem"];
    Done::of(&mut place.command_of(&another, &reseal)).ok();
    reboot(&place);
    place.run(&["spool", "rotate"]).fails(77, OTHER, HAVE_IT_SIGNED);
    Done::of(&mut place.command_of(&another, &["custody", "selftest"])).ok();
}

#[test]
fn a_start_that_fails_closes_the_pcr_too() {
    let place = measured();
    let index = place.sealed(WRAPPING).get_str("nv_index").unwrap().to_owned();
    place.tool_ok(&format!("tpm2_nvundefine {index} -C o"));
    place.run(&["spool", "rotate"]).says(65, "the TPM no longer has its half of this secret");
    place.unseal(RELAY, "7,11,12,14").unwrap_err();
    place.run(&["spool", "rotate"]).fails(77, CAPPED, RESTART);
}

#[test]
fn what_a_killed_start_left_open_the_next_one_closes() {
    let place = measured();
    let mut commands = 1;
    while place.swtpm.pcr(12) == UNTOUCHED {
        assert!(killed_after(commands, &place.proxy, &mut place.command(&["custody", "selftest"])));
        commands += 1;
    }
    assert_eq!(place.unseal(RELAY, "7,11,12,14").unwrap().len(), 32);
    place.run(&["spool", "rotate"]).fails(77, CAPPED, RESTART);
    place.unseal(RELAY, "7,11,12,14").unwrap_err();
    reboot(&place);
    place.ok(&["custody", "selftest"]);
}

#[test]
fn an_old_copy_beside_the_files_takes_no_key_away() {
    let place = measured();
    let old = place.read(format!("tpm/{RELAY}.sealed.json"));
    place.reseal(&[]);
    reboot(&place);
    place.write("tpm/before.sealed.json", old);
    place.write("tpm/damaged.sealed.json", "{}");
    place.ok(&["custody", "selftest"]);
    place.run(&["spool", "rotate"]).fails(77, CAPPED, RESTART);
}

#[test]
fn the_pcr_is_not_one_that_policies_are_about() {
    let place = Place::new(&[]);
    place.reconfigure("[custody.tpm]\n", "[custody.tpm]\napplication_pcr = 14\n");
    place.run(&["config", "check"]).says(78, "custody.tpm names as application_pcr one of its pcrs");
}

#[test]
fn a_bound_pcr_is_named_also_where_what_runs_is_measured() {
    let place = measured();
    place.swtpm.extend(7, "x");
    let done = place.run(&["spool", "rotate"]);
    done.says(77, "Error: PCR 7 is not what any signed policy allows (tpm: TPM2_PolicyPCR).");
}

#[test]
fn a_look_spends_nothing_and_status_tells_what_was_released() {
    let place = measured();
    let spent = || {
        let status = place.status();
        let policies = status.get("policies").unwrap().as_array().unwrap();
        policies[0].as_object().unwrap().get("spent").unwrap().as_bool().unwrap()
    };
    place.ok(&["custody", "report"]);
    assert!(!spent());
    place.attest("a");
    assert!(spent());
    // Whoever was given it goes on: this is no failure.
    assert!(place.ok(&["custody", "tpm", "status"]).contains("released since the boot"));
    place.ok(&["custody", "report"]);
}
