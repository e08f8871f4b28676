//! The half of an epoch in the TPM is all there is of it: where that is destroyed, nothing opens what lay under it.

use std::fs;

use local_vault::custody::{ErrorKind, WrappingKey as _};
use local_vault::protocol::json;

use super::place::{ALL, Place, WRAPPING};

/// An event's payload as the spool opens it.
fn show(place: &Place, event: &str) -> super::process::Done {
    place.run(&["spool", "show", event, "--payload"])
}

fn attest(place: &Place, name: &str) -> String {
    place.write(name, name);
    let told = place.ok(&["attest", name, "--json"]);
    local_vault::protocol::json::parse(told.as_bytes()).unwrap().get_str("eventId").unwrap().to_owned()
}

const GONE: &str = "the TPM has no half of this data key (tpm: TPM2_NV_Read)";
const WAS_DESTROYED: &str =
    "Its epoch was destroyed, or this is another TPM. What was sealed under it does not open again.";

#[test]
fn a_destroyed_epoch_opens_nothing_not_even_in_a_copy_from_before() {
    let place = Place::new(&ALL);
    let first = attest(&place, "a");
    let halves = place.other_halves();
    assert_eq!(halves.len(), 1);
    place.ok(&["spool", "rotate"]);
    let both = place.other_halves();
    assert!(both.len() == 2 && both.contains(&halves[0]), "{both:?}");
    let second = attest(&place, "b");
    show(&place, &first).ok();
    let backup = place.files("");
    let evict = ["custody", "tpm", "evict", "--nv-index", &halves[0], "--yes"];
    assert_eq!(place.ok(&evict), format!("NV index {} is destroyed\n", halves[0]));
    show(&place, &first).fails(65, GONE, WAS_DESTROYED);
    show(&place, &second).ok();
    // Spool, blobs and policies as they were before.
    backup.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    show(&place, &first).fails(65, GONE, WAS_DESTROYED);
    show(&place, &second).ok();
    place.run(&evict).fails(
        78,
        &format!("there is no such thing: NV index {}", halves[0]),
        "Run: local-vault custody tpm status",
    );
}

#[test]
fn a_data_key_whose_half_was_destroyed_does_not_unwrap_and_is_destroyed_once() {
    let place = Place::new(&["wrapping"]);
    let key = place.wrapping().unwrap();
    let (wrapped, data_key) = key.generate_data_key(b"context").unwrap();
    let (other, _) = key.generate_data_key(b"context").unwrap();
    let sealed = data_key.seal(b"aad", b"text").unwrap();
    let again = key.unwrap_data_key(&wrapped, b"context").unwrap();
    assert_eq!(again.open(b"aad", &sealed).unwrap().as_slice(), b"text");
    let epochs = key.epoch_keys().unwrap();
    assert!(epochs.destroy(&wrapped).unwrap());
    let error = key.unwrap_data_key(&wrapped, b"context").unwrap_err();
    assert_eq!((error.kind, error.operation), (ErrorKind::Broken, "TPM2_NV_Read"), "{error:?}");
    assert!(!epochs.destroy(&wrapped).unwrap());
    key.unwrap_data_key(&other, b"context").unwrap();
    // Nor does anybody bring the index back who does not know what was in it.
    let index = u32::from_be_bytes(wrapped.0[..4].try_into().unwrap());
    place.for_tools("zeroes", &[0; 32]);
    place.tool_ok(&format!("tpm2_nvdefine 0x{index:08x} -C o -s 32 -a ownerread|ownerwrite|authread"));
    place.tool_ok(&format!("tpm2_nvwrite 0x{index:08x} -C o -i zeroes"));
    key.unwrap_data_key(&wrapped, b"context").unwrap_err();
}

#[test]
fn a_data_key_unwraps_under_its_context_its_key_and_its_tpm_alone() {
    let (place, other) = (Place::new(&["wrapping"]), Place::new(&["wrapping"]));
    let made = place.ok(&["custody", "generate", "wrapping", "--label", "second", "--json"]);
    let id = json::parse(made.trim().as_bytes()).unwrap().get_str("key_id").unwrap().to_owned();
    let key = place.wrapping().unwrap();
    let (wrapped, _) = key.generate_data_key(b"context").unwrap();
    let is_refused = |error: local_vault::custody::CustodyError| assert_eq!(error.kind, ErrorKind::Broken, "{error:?}");
    is_refused(key.unwrap_data_key(&wrapped, b"another context").unwrap_err());
    let second = local_vault::custody::tpm::TpmWrappingKey::open(place.tpm(), "second", &id).unwrap();
    assert_ne!(second.key_id(), key.key_id());
    is_refused(second.unwrap_data_key(&wrapped, b"context").unwrap_err());
    is_refused(other.wrapping().unwrap().unwrap_data_key(&wrapped, b"context").unwrap_err());
    // Every byte of it counts.
    for at in 0..wrapped.0.len() {
        let mut changed = wrapped.clone();
        changed.0[at] ^= 1;
        is_refused(key.unwrap_data_key(&changed, b"context").unwrap_err());
    }
    for length in 0..20 {
        let mut short = wrapped.clone();
        short.0.truncate(length);
        is_refused(key.unwrap_data_key(&short, b"context").unwrap_err());
    }
    key.unwrap_data_key(&wrapped, b"context").unwrap();
}

#[test]
fn a_half_of_an_epoch_is_not_that_of_another() {
    let place = Place::new(&["wrapping"]);
    let key = place.wrapping().unwrap();
    let (a, _) = key.generate_data_key(b"context").unwrap();
    let (b, _) = key.generate_data_key(b"context").unwrap();
    let mut mixed = a.clone();
    mixed.0[..4].copy_from_slice(&b.0[..4]);
    let error = key.unwrap_data_key(&mixed, b"context").unwrap_err();
    assert_eq!((error.kind, error.operation), (ErrorKind::Broken, "unwrap"), "{error:?}");
}

#[test]
fn a_key_is_evicted_whole_when_it_is_meant() {
    let place = Place::new(&ALL);
    let index = place.sealed(WRAPPING).get_str("nv_index").unwrap().to_owned();
    place.run(&["custody", "tpm", "evict", WRAPPING]).fails(
        64,
        &format!("the key {WRAPPING:?} would be destroyed"),
        "There is no way back. Say --yes where it is meant.",
    );
    place.attest("a");
    let copy = place.files("tpm");
    for label in [WRAPPING, "local-vault-relay", "local-vault-source"] {
        place.ok(&["custody", "tpm", "evict", label, "--yes"]);
        place.run(&["custody", "tpm", "evict", label, "--yes"]).says(78, "there is no such thing");
    }
    let left: Vec<_> =
        place.files("tpm").into_keys().filter(|path| path.parent() == Some(&place.path("tpm"))).collect();
    assert_eq!(left, [place.path("tpm/local-vault-record.pem")]);
    place.tool(&format!("tpm2_nvreadpublic {index}")).unwrap_err();
    // A copy of the files brings no sealed key back.
    copy.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    place.run(&["spool", "rotate"]).says(65, "the TPM no longer has its half of this secret");
}

#[test]
fn an_index_of_somebody_else_is_not_evicted() {
    let place = Place::new(&["relay"]);
    place.tool_ok("tpm2_nvdefine 0x01800100 -C o -s 32 -a ownerread|ownerwrite");
    let done = place.run(&["custody", "tpm", "evict", "--nv-index", "0x01800100", "--yes"]);
    done.fails(
        77,
        "NV index 0x01800100 is not what it should be (tpm: TPM2_NV_UndefineSpace)",
        "It belongs to another program, or to another box. Nothing was destroyed.",
    );
    place.tool_ok("tpm2_nvreadpublic 0x01800100");
    // Nor the half of a key that is there: that goes by its label.
    let index = place.sealed("local-vault-relay").get_str("nv_index").unwrap().to_owned();
    place.run(&["custody", "tpm", "evict", "--nv-index", &index, "--yes"]).says(77, "is the half of a key");
    super::place::sign(&place.released(), "x").unwrap();
}

#[test]
fn a_wrapping_secret_that_is_not_the_configured_one_opens_and_wraps_nothing() {
    let place = Place::new(&["record", "source", "wrapping"]);
    place.ok(&["custody", "generate", "wrapping", "--label", "another"]);
    let (ours, other) = (place.path("tpm/local-vault-wrapping.sealed.json"), place.path("tpm/another.sealed.json"));
    fs::copy(other, ours).unwrap();
    // Also where no spool would tell.
    place.try_attest("a").says(78, "and another one is expected");
    assert!(!place.path("spool.sqlite3").exists());
}

#[test]
fn a_signing_seed_wraps_nothing_and_a_wrapping_secret_signs_nothing() {
    let place = Place::new(&["relay", "record", "wrapping"]);
    place.reconfigure("label = \"local-vault-wrapping\"", "label = \"local-vault-relay\"");
    place.run(&["spool", "rotate"]).fails(
        78,
        "the sealed secret \"local-vault-relay\" is a signing seed (tpm: find)",
        "Name one that was made with `custody generate wrapping` under [custody.tpm.wrapping].",
    );
    let relay = place.path("tpm/local-vault-relay.sealed.json");
    fs::copy(place.path("tpm/local-vault-wrapping.sealed.json"), relay).unwrap();
    let error = super::place::sign(&place.released(), "x").unwrap_err();
    assert_eq!((error.kind, error.operation), (ErrorKind::Misconfigured, "TPM2_Unseal"), "{error:?}");
}
