//! Whoever listens between the processor and the TPM hears no secret.

use std::collections::HashMap;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use local_vault::custody::WrappingKey as _;
use local_vault::protocol::json;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _};
use sha2::{Digest as _, Sha256};

use super::place::{ALL, Place, RELAY, WRAPPING, sign};

/// The seed as the recovery key opens it, read from its file by its description (HPKE, RFC 9180).
fn recovered_seed(place: &Place) -> Vec<u8> {
    let file = json::parse(&place.read(format!("tpm/{RELAY}.recovery.json"))).unwrap();
    let part = |name| STANDARD.decode(file.get_str(name).unwrap()).unwrap();
    let key = hex::decode(String::from_utf8(place.read("recovery.key")).unwrap().trim()).unwrap();
    let about = hex::decode(file.get_str("public_key").unwrap()).unwrap();
    let encapsulated = EncapsulatedSecret(part("encapsulated"));
    SUITE.open(&encapsulated, b"local-vault.recovery.v1", &about, &part("sealed"), &key.into()).unwrap()
}

#[track_caller]
fn has_not_passed(place: &Place, secrets: &HashMap<&str, Vec<u8>>) {
    for (name, secret) in secrets {
        assert!(secret.len() >= 8);
        // Not even in part.
        for part in secret.chunks_exact(8).chain([secret.as_slice()]) {
            assert!(!place.proxy.has_seen(part), "{name}");
        }
    }
}

#[test]
fn no_seed_no_half_no_data_key_and_no_pin_passes_in_the_clear() {
    let place = Place::with(&ALL, "pin_file = \"pin\"\n");
    // Everything once more, over the proxy as before.
    place.attest("a");
    place.ok(&["custody", "selftest"]);
    let seed = recovered_seed(&place);
    let mut secrets = HashMap::from([("seed", seed.clone())]);
    // The sealed half needs the PIN, and is what the seed is without the other.
    let stored = |label| place.stored_half(label, "7,11,14").unwrap();
    let without = |half: &[u8]| seed.iter().zip(half).map(|(a, b)| a ^ b).collect::<Vec<u8>>();
    let first = stored(RELAY);
    secrets.extend([("sealed half", without(&first)), ("stored half", first)]);
    place.reseal(&[]);
    sign(&place.released(), "x").unwrap();
    sign(&place.resident(), "x").unwrap();
    let next = stored(RELAY);
    secrets.extend([("next sealed half", without(&next)), ("next stored half", next)]);
    secrets.insert("stored half of the wrapping secret", stored(WRAPPING));
    let pin = b"7395-right-pin";
    secrets.insert("pin", pin.to_vec());
    secrets.insert(
        "pin, hashed",
        Sha256::new_with_prefix(b"local-vault.tpm.pin.v1").chain_update(pin).finalize().to_vec(),
    );
    has_not_passed(&place, &secrets);
}

#[test]
fn no_wrapping_secret_and_no_data_key_passes_in_the_clear() {
    let place = Place::new(&["relay", "wrapping"]);
    let key = place.wrapping().unwrap();
    let (wrapped, _) = key.generate_data_key(b"context").unwrap();
    key.unwrap_data_key(&wrapped, b"context").unwrap();
    sign(&place.released(), "x").unwrap();
    drop(key);
    // Both halves as others read them that fulfil the policy: what they make of them is the secret.
    let [seed, ..] = place.stolen(RELAY);
    assert_eq!(seed, recovered_seed(&place));
    let [secret, sealed, stored] = place.stolen(WRAPPING);
    let index = u32::from_be_bytes(wrapped.0[..4].try_into().unwrap());
    let policy = json::parse(&std::fs::read(place.policy()).unwrap()).unwrap();
    place.fulfil_with("7,11,14", policy.get_str("standing_signature").unwrap(), "local-vault.standing").unwrap();
    place.tool_ok(&format!("tpm2_nvread 0x{index:08x} -C 0x{index:08x} -P session:policy.session -o half"));
    let epoch = place.of_tools("half");
    // And the data key under them, by the description of the scheme.
    let mut wraps = [0; 32];
    let both = [secret.as_slice(), &epoch].concat();
    Hkdf::<Sha256>::new(None, &both).expand(b"local-vault.tpm.wrap.v1", &mut wraps).unwrap();
    let nonce = Nonce::try_from(&wrapped.0[4..16]).unwrap();
    let payload = Payload { msg: &wrapped.0[16..], aad: b"context" };
    let data_key = Aes256Gcm::new((&wraps).into()).decrypt(&nonce, payload).unwrap();
    assert_eq!(data_key.len(), 32);
    let secrets = [
        ("seed", seed),
        ("wrapping secret", secret),
        ("sealed half", sealed),
        ("stored half", stored),
        ("half of the epoch", epoch),
        ("what wraps the data key", wraps.to_vec()),
        ("data key", data_key),
    ];
    has_not_passed(&place, &secrets.into());
}

#[test]
fn no_owner_password_passes_in_the_clear() {
    let place = Place::unprovisioned("owner_auth_file = \"owner\"\n");
    place.tool_ok("tpm2_changeauth -c owner 4711-owner-password");
    place.provision(&[]);
    ALL.iter().for_each(|key| place.generate(key));
    place.attest("a");
    place.reseal(&[]);
    // The attestation key is put into its place, and taken out of it.
    place.ok(&["attestation", "self-test"]);
    place.ok(&["custody", "tpm", "evict", "--attestation-key", "--yes"]);
    has_not_passed(&place, &[("owner password", b"4711-owner-password".to_vec())].into());
    // It is asked for, and a wrong one is told of.
    place.secret("owner", "0000-wrong\n");
    let done = place.run(&["spool", "rotate"]);
    let told = "the TPM refused the owner's password (TPM2_CreatePrimary: TPM_RC_BAD_AUTH 0x9a2)";
    done.fails(77, told, &format!("Check {}. It is not tried again by itself.", place.path("owner").display()));
    place.reconfigure("owner_auth_file = \"owner\"\n", "");
    let advice = "Name the file that holds it as custody.tpm.owner_auth_file.";
    place.run(&["spool", "rotate"]).fails(77, told, advice);
}

#[test]
fn what_passes_in_the_clear_is_recorded() {
    let place = Place::new(&[]);
    let secret = b"a secret that nobody encrypts";
    place.for_tools("secret", secret);
    place.tool_ok("tpm2_nvdefine 0x01800100 -C o -s 29 -a ownerread|ownerwrite");
    place.tool_ok("tpm2_nvwrite 0x01800100 -C o -i secret");
    assert!(!place.proxy.has_seen(secret));
    let mut read = std::process::Command::new("tpm2_nvread");
    read.args(["0x01800100", "-C", "o"]).env("TPM2TOOLS_TCTI", place.proxy.tcti());
    assert_eq!(read.output().unwrap().stdout, secret);
    assert!(place.proxy.has_seen(secret));
}
