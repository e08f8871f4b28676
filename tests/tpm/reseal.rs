//! A re-seal takes back what was signed before, loses nothing, and may break off anywhere.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use local_vault::custody::ErrorKind;
use local_vault::custody::SigningKey as _;
use local_vault::custody::tpm::{PolicyKey, Predicted, ReleasedKey, Tpm, TpmConfig};
use local_vault::protocol::Algorithm;

use super::place::{ALL, Place, RELAY, SOURCE, WRAPPING, sign};
use super::process::{Done, killed_after};

const DESTROYED: &str = "It was destroyed in the TPM: by a re-seal, after which this is an old copy, or by hand.";

/// Copies a folder's files, whatever lies there.
fn put_back(place: &Place, from: &str) {
    for (path, bytes) in place.files(from) {
        let relative = path.strip_prefix(place.path(from)).unwrap().to_owned();
        fs::write(place.path("tpm").join(relative), bytes).unwrap();
    }
}

fn copy_of_the_folder(place: &Place, to: &str) {
    for (path, bytes) in place.files("tpm") {
        let path = place.path(to).join(path.strip_prefix(place.path("tpm")).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_old_blob_is_refused_after_a_reseal_also_with_its_old_policy() {
    let place = Place::new(&ALL);
    place.attest("a");
    copy_of_the_folder(&place, "old");
    place.reseal(&[]);
    place.attest("b");
    // Only the blobs: their generation has no policy any more.
    let now = place.files("tpm");
    for label in [RELAY, WRAPPING] {
        fs::copy(place.path(format!("old/{label}.sealed.json")), place.path(format!("tpm/{label}.sealed.json")))
            .unwrap();
    }
    let gone = "the TPM no longer has its half of this secret (tpm: TPM2_NV_Read)";
    place.run(&["spool", "rotate"]).fails(65, gone, DESTROYED);
    // And the whole folder as it was.
    put_back(&place, "old");
    place.run(&["spool", "rotate"]).fails(65, gone, DESTROYED);
    let error = sign(&place.released(), "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken, "{error:?}");
    // Nothing was made worse.
    now.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    fs::remove_file(
        place.path("tpm/policies").join(place.files("old/policies").into_keys().next().unwrap().file_name().unwrap()),
    )
    .unwrap();
    place.attest("c");
}

#[test]
fn an_old_half_opens_nothing_in_the_hands_of_others() {
    let place = Place::new(&["relay"]);
    let old = place.sealed(RELAY).get_str("nv_index").unwrap().to_owned();
    copy_of_the_folder(&place, "old");
    place.reseal(&[]);
    assert_ne!(place.sealed(RELAY).get_str("nv_index").unwrap(), old);
    let indices = place.tool_ok("tpm2_getcap handles-nv-index").to_lowercase();
    let digits = old.trim_start_matches("0x").trim_start_matches('0');
    assert!(!indices.contains(digits), "{old}: {indices}");
    // The sealed half that the TPM still loads says nothing without the other.
    put_back(&place, "old");
    let signed: Vec<_> = place.files("tpm/policies").into_keys().collect();
    fs::remove_file(signed.iter().find(|path| path.to_str().unwrap().contains("000002-")).unwrap()).unwrap();
    assert_eq!(place.unseal(RELAY, "7,11,14").unwrap().len(), 32);
    place.stored_half(RELAY, "7,11,14").unwrap_err();
}

#[test]
fn an_old_policy_does_not_open_a_new_blob_in_the_old_state() {
    let place = Place::new(&ALL);
    copy_of_the_folder(&place, "old");
    place.swtpm.extend(11, "the next kernel");
    let next = format!("11={}", place.swtpm.pcr(11));
    place.swtpm.stop();
    place.swtpm.start();
    // Before the update both kernels may start, after it only the new one.
    place.reseal(&["--predict", &next]);
    place.attest("a");
    place.swtpm.extend(11, "the next kernel");
    place.attest("b");
    place.reseal(&[]);
    place.attest("c");
    // Somebody starts the old kernel again, with the policy that was signed for it.
    place.swtpm.stop();
    place.swtpm.start();
    for (path, bytes) in place.files("old/policies") {
        fs::write(place.path("tpm/policies").join(path.file_name().unwrap()), bytes).unwrap();
    }
    let done = place.run(&["custody", "selftest", "--json"]);
    let refused = done.out.matches("PCR 11 is not what any signed policy allows").count();
    // Resident keys cannot be sealed anew, and open again: every policy that was ever signed counts for them.
    assert_eq!((done.code, refused), (Some(77), 2), "{done:?}");
    let error = sign(&place.released(), "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error:?}");
    // Nor does the TPM, asked by others.
    let policy = fs::read(place.files("old/policies").into_keys().next().unwrap()).unwrap();
    let policy = local_vault::protocol::json::parse(&policy).unwrap();
    place.load_sealed(RELAY);
    place.fulfil_with("7,11,14", policy.get_str("sealed_signature").unwrap(), "local-vault.sealed.1").unwrap();
    place.tool("tpm2_unseal -c object.ctx -p session:policy.session").unwrap_err();
}

#[test]
fn with_a_prediction_the_state_of_now_and_the_predicted_one_count() {
    let place = Place::new(&ALL);
    place.reseal(&["--predict", &format!("11={}", "ab".repeat(32))]);
    let policies: Vec<String> =
        place.files("tpm/policies").into_values().map(|p| String::from_utf8(p).unwrap()).collect();
    assert_eq!(policies.len(), 2);
    assert_eq!(policies.iter().filter(|policy| policy.contains(&"ab".repeat(32))).count(), 1);
    assert!(policies.iter().all(|policy| policy.contains("\"generation\":2")));
    place.attest("a");
    // The second takes it back.
    place.reseal(&[]);
    place.policy();
    place.attest("b");
}

#[test]
fn resident_keys_and_epochs_outlive_a_reseal() {
    let place = Place::new(&ALL);
    place.attest("a");
    let (before, epochs) = (place.read(format!("tpm/{SOURCE}.pem")), place.other_halves());
    place.reseal(&[]);
    assert_eq!((place.read(format!("tpm/{SOURCE}.pem")), place.other_halves()), (before, epochs));
    place.attest("b");
    let told = place.ok(&["attest", "a", "--json"]);
    let told = local_vault::protocol::json::parse(told.as_bytes()).unwrap();
    place.ok(&["spool", "show", told.get_str("eventId").unwrap(), "--payload"]);
}

#[test]
fn a_reseal_that_is_killed_anywhere_loses_nothing_and_can_be_repeated() {
    let place = Place::new(&["relay", "wrapping"]);
    let words = ["custody", "reseal", "--policy-key", "policy.pem"];
    let key = place.wrapping().unwrap();
    let (wrapped, _) = local_vault::custody::WrappingKey::generate_data_key(&key, b"context").unwrap();
    drop(key);
    let (mut kills, mut commands) = (0, 1);
    let mut named = Vec::new();
    // Each step begins where another kill has left off.
    while killed_after(commands, &place.proxy, &mut place.command(&words)) {
        kills += 1;
        named.extend([RELAY, WRAPPING].map(|label| place.sealed(label).get_str("nv_index").unwrap().to_owned()));
        commands += 3;
        // In each state both keys open, and are what they were.
        sign(&place.released(), "x").unwrap();
        let key = place.wrapping().unwrap();
        local_vault::custody::WrappingKey::unwrap_data_key(&key, &wrapped, b"context").unwrap();
    }
    assert!(kills >= 20, "{kills} kills");
    // The last one was not killed: what it replaced is gone.
    place.policy();
    sign(&place.released(), "x").unwrap();
    // What kills left behind in the TPM is shown, and taken away by hand.
    let left = place.other_halves();
    // No half is among it that a file had named: a copy of that file would open.
    assert_eq!(left.iter().find(|half| named.contains(half)), None);
    let index = u32::from_be_bytes(wrapped.0[..4].try_into().unwrap());
    for half in left.iter().filter(|half| **half != format!("0x{index:08x}")) {
        place.ok(&["custody", "tpm", "evict", "--nv-index", half, "--yes"]);
    }
    let key = place.wrapping().unwrap();
    local_vault::custody::WrappingKey::unwrap_data_key(&key, &wrapped, b"context").unwrap();
}

#[test]
fn a_secret_that_was_sealed_before_the_connection_broke_keeps_its_policy() {
    let place = Place::new(&["relay", "wrapping"]);
    let key = PolicyKey::load(&place.path("policy.pem"), None).unwrap();
    // Behind the first secret the TPM is another one, which the second try finds out.
    let (swtpm, first) = (place.swtpm.clone(), AtomicBool::new(true));
    let progress = move |_: &str| {
        if first.swap(false, Ordering::SeqCst) {
            swtpm.wipe();
        }
    };
    place.tpm().reseal(key, vec![Predicted::default()], progress).unwrap_err();
    assert_eq!(place.sealed(RELAY).get("generation").unwrap().as_i64(), Some(2));
    assert_eq!(place.sealed(WRAPPING).get("generation").unwrap().as_i64(), Some(1));
    assert_eq!(place.files("tpm/policies").len(), 2);
}

#[test]
fn a_reseal_leaves_the_keys_of_another_folder_alone() {
    let place = Place::new(&["relay"]);
    let policy_key = || PolicyKey::load(&place.path("policy.pem"), None).unwrap();
    // As a witness beside it, of the same operator and in the same TPM.
    let other = Tpm::new(TpmConfig { folder: place.path("other"), ..place.tpm_config() });
    other.provision(policy_key()).unwrap();
    let key = other.generate("witness", Algorithm::Ed25519).unwrap();
    place.reseal(&[]);
    place.reseal(&[]);
    ReleasedKey::new(other, "witness", key.public_key().clone()).check().unwrap();
    sign(&place.released(), "x").unwrap();
}

#[test]
fn reseals_at_once_come_one_after_another() {
    let place = Place::new(&ALL);
    place.attest("a");
    let words = ["custody", "reseal", "--policy-key", "policy.pem"];
    let running: Vec<_> = (0..4).map(|_| place.command(&words).spawn().unwrap()).collect();
    for child in running {
        Done::from(child.wait_with_output().unwrap()).ok();
    }
    let policy = String::from_utf8(fs::read(place.policy()).unwrap()).unwrap();
    assert!(policy.contains("\"generation\":5"), "{policy}");
    place.attest("b");
    place.ok(&["custody", "selftest"]);
    assert_eq!(place.other_halves().len(), 1);
}

#[test]
fn a_key_that_is_made_while_others_are_resealed_opens() {
    let place = Place::new(&["relay"]);
    let words = ["custody", "reseal", "--policy-key", "policy.pem"];
    let resealing: Vec<_> = (0..2).map(|_| place.command(&words).spawn().unwrap()).collect();
    let making: Vec<_> = ["k1", "k2", "k3"]
        .map(|label| place.command(&["custody", "generate", "witness", "--label", label]).spawn().unwrap())
        .into();
    for child in resealing.into_iter().chain(making) {
        Done::from(child.wait_with_output().unwrap()).ok();
    }
    place.reseal(&[]);
    sign(&place.released(), "x").unwrap();
}

#[test]
fn a_reseal_with_another_policy_key_changes_nothing() {
    let (place, other) = (Place::new(&["relay"]), Place::new(&[]));
    let before = place.files("tpm");
    let key = other.path("policy.pem");
    place.run(&["custody", "reseal", "--policy-key", key.to_str().unwrap()]).fails(
        78,
        &format!("this policy key has the public half {} (tpm: policy)", other.member("custody.tpm", "policy_key")),
        &format!(
            "Configured as custody.tpm.policy_key is {}. Nothing was signed.",
            place.member("custody.tpm", "policy_key")
        ),
    );
    assert_eq!(place.files("tpm"), before);
    sign(&place.released(), "x").unwrap();
}

#[test]
fn a_reseal_in_a_state_that_nobody_signed_changes_nothing() {
    let place = Place::new(&["relay"]);
    let before = place.files("tpm");
    place.swtpm.extend(7, "x");
    let done = place.run(&["custody", "reseal", "--policy-key", "policy.pem"]);
    done.says(77, "Error: PCR 7 is not what any signed policy allows (tpm: TPM2_PolicyPCR).");
    assert_eq!(place.files("tpm"), before);
}

/// A small file system of its own, unmounted on drop.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None where this user may mount nothing, and says so.
    fn mount(folder: &'a Path) -> Option<Self> {
        if std::env::var_os("LOCAL_VAULT_TEST_NO_ROOT").is_some() {
            return None;
        }
        fs::create_dir(folder).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder).status();
        let why = "this test mounts a small disk and needs root; set LOCAL_VAULT_TEST_NO_ROOT=1 to go without";
        assert!(mounted.unwrap().success(), "{why}");
        Some(Self(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, since nothing is left to be written.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_leaves_nothing_behind() {
    let place = Place::unprovisioned("folder = \"disk\"\n");
    let folder = place.path("disk");
    let Some(_disk) = SmallDisk::mount(&folder) else { return };
    place.provision(&["--recovery-key", "recovery.key"]);
    ["relay", "wrapping"].iter().for_each(|key| place.generate(key));
    // A file system of pages: every file takes one, and the last are taken one by one.
    let mut pages = 0;
    while fs::write(folder.join(format!("page{pages}")), [1; 4096]).is_ok() {
        pages += 1;
    }
    let _ = fs::remove_file(folder.join(format!("page{pages}")));
    let mut full = 0;
    for page in 0..pages {
        let before = place.files("disk").into_keys().count();
        let done = place.run(&["custody", "reseal", "--policy-key", "policy.pem"]);
        place.ok(&["custody", "selftest"]);
        if done.code == Some(0) {
            break;
        }
        full += 1;
        done.says(75, "No space left on device");
        assert!(done.err.ends_with("Make room on the disk.\n"), "{done:?}");
        let new: Vec<_> =
            place.files("disk").into_keys().filter(|path| path.extension().is_some_and(|e| e == "new")).collect();
        assert!(new.is_empty() && place.files("disk").len() <= before + 1, "{new:?}");
        fs::remove_file(folder.join(format!("page{page}"))).unwrap();
    }
    assert!(full > 0);
    place.reseal(&[]);
    place.ok(&["custody", "selftest"]);
    assert_eq!(place.other_halves(), Vec::<String>::new());
}
