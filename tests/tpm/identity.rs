//! It is the TPM that was provisioned, or nothing is done.

use std::fs;

use local_vault::custody::ErrorKind;
use local_vault::protocol::json::Value;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use sha2::{Digest as _, Sha256};

use super::hygiene::connections;
use super::place::{ALL, Place, sign};
use super::process::Loop;
use super::sandbox::wait_until;
use super::tpm_proxy::{CREATE_PRIMARY, READ_PUBLIC};

const OTHER: &str = "Error: this is not the TPM that was provisioned: the parent key (template) has the Name 000b";
const NOT_ANEW: &str = "Nothing was made anew. With another board: local-vault custody tpm recover\n";

/// Every command refuses this TPM, and nothing changes on disk.
#[track_caller]
fn is_refused(place: &Place) {
    let before = place.files("");
    for words in [
        &["attest", "local-vault.toml"][..],
        &["spool", "rotate"],
        &["custody", "generate", "witness"],
        &["custody", "reseal", "--policy-key", "policy.pem"],
    ] {
        let done = place.run(words);
        done.says(78, OTHER);
        assert!(done.err.ends_with(NOT_ANEW), "{words:?}: {done:?}");
    }
    for words in [&["custody", "selftest", "--json"][..], &["custody", "report"]] {
        let done = place.run(words);
        assert_eq!(done.code, Some(78), "{words:?}: {done:?}");
    }
    let done = place.run(&["custody", "tpm", "status"]);
    done.says(78, "Error: this is not the TPM that was provisioned.\n");
    assert!(done.out.contains("NOT AS PINNED"), "{done:?}");
    let changed: Vec<_> = place.files("").into_iter().filter(|(path, bytes)| before.get(path) != Some(bytes)).collect();
    // SQLite makes its files when it looks, and takes them away. That it was asked for is written down.
    let is_passing = |path: &str| path.contains("sqlite3-") || path.contains("sqlite3.audit");
    let changed: Vec<_> = changed.into_iter().filter(|(path, _)| !is_passing(path.to_str().unwrap())).collect();
    assert!(changed.is_empty(), "{:?}", changed.into_iter().map(|(path, _)| path).collect::<Vec<_>>());
}

#[test]
fn a_tpm_that_was_wiped_is_refused_and_nothing_is_made_anew() {
    let place = Place::new(&ALL);
    place.attest("a");
    place.swtpm.wipe();
    is_refused(&place);
    let provision = ["custody", "tpm", "provision", "--policy-key", "policy.pem"];
    place.run(&provision).fails(
        77,
        &format!("{} was provisioned before (tpm: provision)", place.path("tpm").display()),
        "Nothing was changed. For another board name another folder as custody.tpm.folder.",
    );
    assert_eq!(place.tool_ok("tpm2_getcap handles-nv-index"), "");
}

#[test]
fn a_tpm_that_its_owner_cleared_is_refused() {
    let place = Place::new(&ALL);
    place.attest("a");
    place.tool_ok("tpm2_clear");
    is_refused(&place);
}

#[test]
fn another_name_than_the_pinned_one_is_refused() {
    let place = Place::new(&ALL);
    place.attest("a");
    let name = place.member("custody.tpm", "parent_name");
    let other = format!("000b{}{}", if name[4..].starts_with('0') { "1" } else { "0" }, &name[5..]);
    place.reconfigure(&name, &other);
    let before = place.files("tpm");
    place.run(&["attest", "local-vault.toml"]).says(78, OTHER);
    for words in [&["custody", "generate", "witness"][..], &["custody", "reseal", "--policy-key", "policy.pem"]] {
        place.run(words).says(65, "is a policy for another box");
    }
    assert_eq!(place.files("tpm"), before);
    let done = place.run(&["spool", "rotate"]);
    done.says(78, &format!("has the Name {name} (tpm: parent).\nPinned is {other}. Was the TPM cleared"));
    place.reconfigure(&other, &name);
    place.attest("b");
}

#[test]
fn the_folder_of_one_box_is_of_no_use_on_another() {
    let (place, other) = (Place::new(&ALL), Place::new(&["relay"]));
    place.attest("a");
    place.reconfigure(&place.proxy.tcti(), &other.proxy.tcti());
    is_refused(&place);
    // Nor with the other's Name: it does not take these blobs, and has none of these halves.
    place.reconfigure(&place.member("custody.tpm", "parent_name"), &other.member("custody.tpm", "parent_name"));
    place.run(&["spool", "rotate"]).says(65, "is a policy for another box (tpm: policy)");
    let done = place.run(&["attest", "local-vault.toml"]);
    done.says(78, "has another policy than that of the configured policy key");
    // Nor with the other's policies, which the same operator might have signed.
    fs::remove_file(place.policy()).unwrap();
    fs::copy(other.policy(), place.path("tpm/policies/000001-other.json")).unwrap();
    place.reconfigure(&place.member("custody.tpm", "policy_key"), &other.member("custody.tpm", "policy_key"));
    place.run(&["spool", "rotate"]).says(65, "the TPM no longer has its half of this secret (tpm: TPM2_NV_Read)");
    let error = sign(&place.resident(), "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured, "{error:?}");
}

#[test]
fn an_answer_that_was_altered_on_the_way_is_not_believed() {
    let place = Place::new(&["relay", "source"]);
    // The handle, the sizes, the public area, creation data, ticket and Name; and of the public area read again.
    for (command, at) in
        [(CREATE_PRIMARY, 25), (CREATE_PRIMARY, 30), (CREATE_PRIMARY, 60), (READ_PUBLIC, 20), (READ_PUBLIC, 60)]
    {
        place.proxy.tamper(command, move |response| response[at] ^= 1);
        let before = connections(&place);
        let signed = sign(&place.resident(), "x");
        assert!(place.proxy.has_tampered());
        // It is believed in no case: a connection that brings nonsense is begun anew once.
        assert!(signed.is_err() || connections(&place) == before + 2, "{command:x} {at}");
    }
    sign(&place.resident(), "x").unwrap();
}

/// A public area of a storage key as the TPM gave it, with a point of somebody else in it, and its Name.
fn of_another_key(area: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let secret = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let point = secret.public_key().to_sec1_point(false);
    let coordinates = &point.as_bytes()[1..];
    let (x, y) = coordinates.split_at(32);
    let area = [&area[..area.len() - 68], &[0, 32], x, &[0, 32], y].concat();
    let name = [&[0, 0x0b][..], &Sha256::digest(&area)].concat();
    (area, name)
}

/// Puts another key into the answer to TPM2_CreatePrimary, consistently: area and Name.
fn substitute_created(response: &mut [u8]) {
    // Header, handle, size of the parameters, and TPM2B_PUBLIC.
    let size = usize::from(u16::from_be_bytes(response[18..20].try_into().unwrap()));
    let area = response[20..20 + size].to_vec();
    let own_name = [&[0, 0x0b][..], &Sha256::digest(&area)].concat();
    let (other, name) = of_another_key(&area);
    response[20..20 + size].copy_from_slice(&other);
    let at = response.windows(34).rposition(|window| window == own_name).unwrap();
    response[at..at + 34].copy_from_slice(&name);
}

/// The same in the answer to TPM2_ReadPublic.
fn substitute_read(response: &mut [u8]) {
    let size = usize::from(u16::from_be_bytes(response[10..12].try_into().unwrap()));
    let area = response[12..12 + size].to_vec();
    let (other, name) = of_another_key(&area);
    response[12..12 + size].copy_from_slice(&other);
    let at = 12 + size;
    assert_eq!(response[at..at + 2], [0, 34]);
    response[at + 2..at + 36].copy_from_slice(&name);
}

#[test]
fn a_key_that_somebody_in_between_puts_in_the_place_of_the_parent_is_refused() {
    let place = Place::new(&["relay", "source"]);
    // Whoever had the private half of what sessions are salted to would read what they encrypt.
    place.proxy.tamper(CREATE_PRIMARY, |response| substitute_created(response));
    let error = sign(&place.released(), "x").unwrap_err();
    assert!(place.proxy.has_tampered());
    assert_eq!((error.kind, error.operation), (ErrorKind::Misconfigured, "parent"), "{error:?}");
    // A little later what is found is believed no more than before.
    place.proxy.tamper(READ_PUBLIC, |response| substitute_read(response));
    let error = sign(&place.released(), "x").unwrap_err();
    assert!(place.proxy.has_tampered());
    assert_eq!((error.kind, error.operation), (ErrorKind::Misconfigured, "parent"), "{error:?}");
    sign(&place.released(), "x").unwrap();
}

#[test]
fn a_persistent_parent_that_somebody_in_between_exchanges_is_refused() {
    let place = Place::unprovisioned("parent = \"0x81000005\"\n");
    let parent = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    place.tool_ok(&format!("tpm2_createprimary -C o -G ecc -a {parent} -c primary.ctx"));
    place.tool_ok("tpm2_evictcontrol -C o -c primary.ctx 0x81000005");
    place.provision(&[]);
    ["relay", "source"].iter().for_each(|key| place.generate(key));
    // The first reading is what the library keeps, the second what is looked at.
    place.proxy.tamper(READ_PUBLIC, |response| substitute_read(response));
    let done = place.run(&["custody", "generate", "wrapping"]);
    assert!(place.proxy.has_tampered());
    done.says(78, "Error: this is not the TPM that was provisioned: the parent key (0x81000005) has the Name ");
    place.ok(&["custody", "generate", "wrapping"]);
}

fn is_sent(line: &local_vault::protocol::json::Object) -> bool {
    line.get("sent") == Some(&Value::Bool(true))
}

fn start(place: &Place) -> Loop {
    Loop::start(&mut place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]))
}

/// What a loop told of itself: once that it is degraded, once that it has recovered, in this order.
#[track_caller]
fn degraded_and_recovered_once(said: &str) {
    let told: Vec<&str> = said.lines().filter(|line| line.contains("Degraded") || line.contains("Recovered")).collect();
    let [degraded, recovered] = told.as_slice() else { panic!("{said}") };
    assert!(degraded.starts_with("Degraded: the TPM at swtpm:host=localhost,port="), "{said}");
    assert!(degraded.ends_with(". Nothing is lost; looking for it."), "{said}");
    assert_eq!(*recovered, "Recovered: the keys are back.");
}

#[test]
fn a_relay_stays_up_without_a_tpm_at_the_start_and_comes_back() {
    let (place, sandbox) = Place::with_sandbox();
    place.attest("a");
    place.swtpm.stop();
    let relay = start(&place);
    for _ in 0..2 {
        let line = relay.until(|line| line.get_str("error").is_some());
        assert_eq!((line.get_str("error"), line.get_str("eventId")), (Some("signing-key-unavailable"), None));
    }
    place.swtpm.start();
    relay.until(is_sent);
    degraded_and_recovered_once(&relay.end());
    assert_eq!(sandbox.recorded_events().len(), 1);
}

#[test]
fn a_relay_that_has_its_seed_needs_no_tpm_and_goes_on_after_its_restart() {
    let (place, sandbox) = Place::with_sandbox();
    ["a", "b"].iter().for_each(|name| place.attest(name));
    let relay = start(&place);
    relay.until(is_sent);
    relay.until(is_sent);
    place.swtpm.kill();
    place.swtpm.start();
    place.attest("c");
    relay.until(is_sent);
    relay.end();
    wait_until(|| (place.count("receipted") == 3).then_some(()));
    assert_eq!(sandbox.recorded_events().len(), 3);
}

#[test]
fn commands_without_their_tpm_are_69_and_nothing_is_lost() {
    let (place, sandbox) = Place::with_sandbox();
    place.attest("a");
    place.write("b", "beta");
    place.swtpm.stop();
    for words in [&["relay", "drain"][..], &["attest", "b"], &["spool", "rotate"], &["custody", "tpm", "status"]] {
        let done = place.run(words);
        done.says(69, &format!("Error: the TPM at {} does not answer (", place.proxy.tcti()));
        let advice = "Nothing was signed. Is it there, and may this user reach it (group tss)? It is looked for again by itself.\n";
        assert!(done.err.ends_with(advice), "{done:?}");
    }
    // What needs no key needs no TPM.
    assert_eq!(place.count("queued"), 1);
    place.ok(&["relay", "status"]);
    place.swtpm.start();
    place.ok(&["attest", "b"]);
    place.ok(&["relay", "drain"]);
    assert_eq!((sandbox.recorded_events().len(), place.count("receipted")), (2, 2));
}

#[test]
fn a_loop_of_signatures_goes_on_over_restarts_of_the_tpm() {
    let place = Place::new(&["source"]);
    let key = place.resident();
    for commands in 1..=9 {
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || {
            swtpm.kill();
            swtpm.start();
        });
        for n in 0..3 {
            sign(&key, &n.to_string()).unwrap();
        }
        assert!(place.proxy.has_happened());
    }
}

#[test]
fn a_tpm_that_is_off_for_a_while_is_missed_and_found_again_by_the_same_process() {
    let place = Place::new(&["source"]);
    let key = place.resident();
    sign(&key, "before").unwrap();
    place.swtpm.kill();
    for _ in 0..2 {
        assert_eq!(sign(&key, "x").unwrap_err().kind, ErrorKind::Away);
    }
    place.swtpm.start();
    wait_until(|| sign(&key, "after").ok());
    // Another TPM in its place is another TPM.
    place.swtpm.wipe();
    let error = sign(&key, "x").unwrap_err();
    assert_eq!((error.kind, error.operation), (ErrorKind::Misconfigured, "parent"), "{error:?}");
}

#[test]
fn a_command_that_finds_another_folder_says_what_it_lacks() {
    let place = Place::new(&["relay"]);
    fs::rename(place.path("tpm"), place.path("away")).unwrap();
    let done = place.run(&["custody", "selftest"]);
    let path = place.path("tpm/local-vault-relay.sealed.json");
    done.says(78, &format!("Error: cannot read {}: No such file or directory", path.display()));
    assert!(!place.path("tpm").exists());
}
