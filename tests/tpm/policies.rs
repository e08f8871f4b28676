//! A secret is used while the PCRs are what the operator signed, and in no other way.

use std::fs;

use local_vault::custody::{CustodyError, ErrorKind, SigningKey as _};
use local_vault::protocol::json;

use super::place::{ALL, Place, RELAY, SOURCE, WRAPPING, sign};
use super::swtpm::free_pair;

const OTHER_FIRMWARE: &str = "Was the firmware, the boot loader, the kernel or a key of secure boot changed? If that was \
    meant, have this state signed: local-vault custody policy sign; if not, start what ran before.";

/// TPM2_PolicyAuthorize.
const POLICY_AUTHORIZE: u32 = 0x16a;
/// A response with TPM_RC_PCR_CHANGED.
const PCR_CHANGED: &[u8] = &[0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x28];

fn refused(error: &CustodyError, message: &str) {
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Refused, message), "{error:?}");
}

/// Extends a PCR on its own, right after the program's next policy holds.
fn extend_after_the_next_policy(place: &Place, pcr: u32) {
    let swtpm = place.swtpm.clone();
    place.proxy.tamper(POLICY_AUTHORIZE, move |_| swtpm.extend(pcr, "in between"));
}

#[test]
fn a_bound_pcr_that_was_extended_is_named_and_no_key_is_used() {
    for pcr in [7, 11, 14] {
        let place = Place::new(&ALL);
        place.attest("a");
        place.swtpm.extend(pcr, "another kernel");
        let what = format!("PCR {pcr} is not what any signed policy allows (tpm: TPM2_PolicyPCR)");
        // The record and wrapping keys open the spool, the source key signs first.
        for words in [["attest", "local-vault.toml"], ["spool", "rotate"]] {
            place.run(&words).fails(77, &what, OTHER_FIRMWARE);
        }
        let done = place.run(&["custody", "selftest", "--json"]);
        assert_eq!((done.code, done.out.matches(&what).count()), (Some(77), 4), "{done:?}");
        let done = place.run(&["custody", "tpm", "status"]);
        done.fails(
            77,
            "no signed policy holds now",
            "Have this state signed (`local-vault custody policy sign`), or start what ran before.",
        );
        assert!(done.out.contains(&format!("(generation 1): PCR {pcr} differs")), "{done:?}");
    }
}

#[test]
fn every_pcr_that_differs_is_named() {
    let place = Place::new(&["source"]);
    [14, 7].iter().for_each(|&pcr| place.swtpm.extend(pcr, "x"));
    refused(&place.resident().check_and_sign(), "PCRs 7 and 14 are not what any signed policy allows");
}

#[test]
fn a_pcr_that_is_not_bound_may_be_extended() {
    let place = Place::new(&ALL);
    [0, 4, 10, 16, 23].iter().for_each(|&pcr| place.swtpm.extend(pcr, "x"));
    place.attest("a");
    place.ok(&["custody", "selftest"]);
}

#[test]
fn a_bound_pcr_that_is_extended_while_a_process_signs_stops_it() {
    let place = Place::new(&["source"]);
    let key = place.resident();
    (0..20).for_each(|n| sign(&key, &n.to_string()).unwrap());
    place.swtpm.extend(11, "a debugger was attached");
    for _ in 0..3 {
        refused(&sign(&key, "x").unwrap_err(), "PCR 11 is not what any signed policy allows");
    }
}

#[test]
fn a_bound_pcr_that_is_extended_between_policy_and_signature_stops_it() {
    let place = Place::new(&["source"]);
    let key = place.resident();
    sign(&key, "before").unwrap();
    extend_after_the_next_policy(&place, 7);
    refused(&sign(&key, "x").unwrap_err(), "PCR 7 is not what any signed policy allows");
    assert!(place.proxy.has_tampered() && place.proxy.has_seen(PCR_CHANGED));
}

#[test]
fn another_pcr_that_is_extended_between_policy_and_signature_is_ridden_out() {
    let place = Place::new(&["source"]);
    let key = place.resident();
    for n in 0..20 {
        extend_after_the_next_policy(&place, 10);
        sign(&key, &n.to_string()).unwrap();
        assert!(place.proxy.has_tampered());
    }
    assert!(place.proxy.has_seen(PCR_CHANGED));
}

#[test]
fn another_pcr_that_is_extended_between_policy_and_release_is_ridden_out() {
    let place = Place::new(&["relay"]);
    extend_after_the_next_policy(&place, 10);
    sign(&place.released(), "x").unwrap();
    assert!(place.proxy.has_tampered() && place.proxy.has_seen(PCR_CHANGED));
}

#[test]
fn a_sealed_half_opens_under_its_policy_and_in_no_other_way() {
    let place = Place::new(&["relay", "wrapping"]);
    for label in [RELAY, WRAPPING] {
        // Who fulfils the policy has it, with any tool: what follows fails for no other reason.
        assert_eq!(place.unseal(label, "7,11,14").unwrap().len(), 32);
        place.load_sealed(label);
        let told = place.tool_ok("tpm2_readpublic -c object.ctx");
        assert!(told.contains("value: fixedtpm|fixedparent|adminwithpolicy|noda\n"), "{told}");
        place.tool("tpm2_unseal -c object.ctx").unwrap_err();
        place.tool("tpm2_unseal -c object.ctx -p wrong").unwrap_err();
        place.tool_ok("tpm2_startauthsession --hmac-session -S hmac.session");
        place.tool("tpm2_unseal -c object.ctx -p session:hmac.session").unwrap_err();
        // A policy session that asserts nothing, one about other PCRs, one that the operator's key did not approve.
        place.tool_ok("tpm2_startauthsession --policy-session -S policy.session");
        place.tool("tpm2_unseal -c object.ctx -p session:policy.session").unwrap_err();
        place.tool_ok("tpm2_policypcr -S policy.session -l sha256:7,11,14");
        place.tool("tpm2_unseal -c object.ctx -p session:policy.session").unwrap_err();
        place.fulfil("7,11").unwrap_err();
        place.tool("tpm2_changeauth -C parent.ctx -c object.ctx -r new.priv mine").unwrap_err();
    }
}

#[test]
fn a_half_in_the_tpm_is_read_under_its_policy_and_written_never() {
    let place = Place::new(&["relay", "wrapping"]);
    place.attest_nothing_but_open_an_epoch();
    let epoch = place.other_halves().remove(0);
    for label in [RELAY, WRAPPING] {
        assert_eq!(place.stored_half(label, "7,11,14").unwrap().len(), 32);
    }
    let named = [RELAY, WRAPPING].map(|label| place.sealed(label).get_str("nv_index").unwrap().to_owned());
    place.for_tools("mine", &[7; 32]);
    for index in named.iter().chain([&epoch]) {
        for who in ["o", index] {
            place.tool(&format!("tpm2_nvread {index} -C {who}")).unwrap_err();
            place.tool(&format!("tpm2_nvwrite {index} -C {who} -i mine")).unwrap_err();
        }
        place.tool(&format!("tpm2_nvread {index} -C {index} -P wrong")).unwrap_err();
        place.tool(&format!("tpm2_nvwrite {index} -C {index} -P wrong -i mine")).unwrap_err();
        // Nor under the policy that reads it.
        place.fulfil("7,11,14").unwrap();
        place.tool(&format!("tpm2_nvwrite {index} -C {index} -P session:policy.session -i mine")).unwrap_err();
        place.tool(&format!("tpm2_changeauth -c {index} mine")).unwrap_err();
    }
    assert_eq!(place.lockout_counter(), 0);
    sign(&place.released(), "x").unwrap();
}

#[test]
fn a_resident_key_signs_under_its_policy_and_in_no_other_way() {
    let place = Place::new(&["source"]);
    place.for_tools("key.pem", &place.read(format!("tpm/{SOURCE}.pem")));
    place.for_tools("text", b"text");
    let sign =
        "openssl pkeyutl -provider tpm2 -provider default -sign -rawin -digest sha256 -inkey key.pem -in text -out s";
    place.tool(sign).unwrap_err();
    sign_here(&place);
}

fn sign_here(place: &Place) {
    sign(&place.resident(), "x").unwrap();
}

#[test]
fn a_predicted_state_is_allowed_once_its_policy_is_applied() {
    let place = Place::new(&ALL);
    place.attest("a");
    let now = place.swtpm.pcr(11);
    place.swtpm.extend(11, "the next kernel");
    let next = format!("11={}", place.swtpm.pcr(11));
    // Back to the kernel of now.
    place.swtpm.stop();
    place.swtpm.start();
    assert_eq!(place.swtpm.pcr(11), now);
    let signed =
        ["custody", "policy", "sign", "--policy-key", "policy.pem", "--predict", &next, "--output", "next.json"];
    place.ok(&signed);
    place.attest("b");
    place.ok(&["custody", "policy", "apply", "next.json"]);
    place.attest("c");
    place.swtpm.extend(11, "the next kernel");
    place.attest("d");
    place.swtpm.extend(11, "something else");
    place.try_attest("e").fails(
        77,
        "PCR 11 is not what any signed policy allows (tpm: TPM2_PolicyPCR)",
        OTHER_FIRMWARE,
    );
}

#[test]
fn a_policy_of_predicted_pcrs_is_signed_where_there_is_no_tpm() {
    let place = Place::new(&ALL);
    let predict: Vec<String> = [7, 11, 14].iter().map(|pcr| format!("{pcr}={}", place.swtpm.pcr(*pcr))).collect();
    let mut words = vec!["custody", "policy", "sign", "--policy-key", "policy.pem"];
    let tcti = place.proxy.tcti();
    place.reconfigure(&tcti, &format!("swtpm:host=localhost,port={}", free_pair()));
    // One PCR is not predicted: it would have to be read.
    for pcr in &predict[..2] {
        words.extend(["--predict", pcr]);
    }
    assert_eq!(place.run(&words).code, Some(69));
    words.extend(["--predict", &predict[2]]);
    let signed = place.ok(&words);
    // The very policy of this state, since signatures are deterministic.
    assert_eq!(json::parse(signed.as_bytes()).unwrap(), json::parse(&fs::read(place.policy()).unwrap()).unwrap());
}

/// A policy that is not to be applied is told of in these lines, and nothing changed.
#[track_caller]
fn is_not_applied(place: &Place, file: &str, code: i32, what: &str, advice: &str) {
    let before = place.files("tpm");
    place.run(&["custody", "policy", "apply", file]).fails(code, what, advice);
    assert_eq!(place.files("tpm"), before);
    place.ok(&["custody", "selftest"]);
}

const OTHER_BOX: &str = "Nothing of it is used. It names the parent key of the box that it is for; sign one for this.";
const NOT_SIGNED: &str = "Nothing of it is used. Sign it with the key whose public half is custody.tpm.policy_key.";

#[test]
fn a_policy_that_another_key_signed_is_not_applied() {
    let (place, other) = (Place::new(&["source", "wrapping"]), Place::new(&[]));
    place.write("other.json", fs::read(other.policy()).unwrap());
    is_not_applied(&place, "other.json", 65, "other.json is a policy for another box (tpm: policy)", OTHER_BOX);
    // Nor does the box sign one with it.
    let key = other.path("policy.pem");
    let done = place.run(&["custody", "policy", "sign", "--policy-key", key.to_str().unwrap()]);
    done.says(78, &format!("this policy key has the public half {}", other.member("custody.tpm", "policy_key")));
    // The file that lies where policies do stops everything: nothing is passed over.
    fs::copy(other.policy(), place.path("tpm/policies/000001-other.json")).unwrap();
    let error = sign(&place.resident(), "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken);
    assert!(error.message.ends_with("tpm/policies/000001-other.json is a policy for another box"), "{error:?}");
}

#[test]
fn a_policy_of_which_one_byte_was_changed_is_not_applied() {
    let place = Place::new(&["source", "wrapping"]);
    let policy = String::from_utf8(fs::read(place.policy()).unwrap()).unwrap();
    let signature = json::parse(policy.as_bytes()).unwrap().get_str("standing_signature").unwrap().to_owned();
    let other = signature.replacen(&signature[..1], if signature.starts_with('0') { "1" } else { "0" }, 1);
    for (from, to) in [("\"14\":\"0", "\"14\":\"1"), ("\"14\"", "\"15\""), (&signature, &other)] {
        assert!(policy.contains(from), "{policy}");
        place.write("changed.json", policy.replacen(from, to, 1));
        let what = "changed.json is not signed with the policy key (tpm: policy)";
        is_not_applied(&place, "changed.json", 65, what, NOT_SIGNED);
    }
    for (from, to) in
        [("\"version\":1", "\"version\":2"), ("{\"gen", "{\"more\":1,\"gen"), ("\"11\":", "\"24\":"), ("}", "")]
    {
        place.write("changed.json", policy.replacen(from, to, 1));
        let what = "changed.json is no signed policy (tpm: policy)";
        is_not_applied(&place, "changed.json", 65, what, "Sign one: local-vault custody policy sign");
    }
}

#[test]
fn a_policy_of_another_generation_is_not_applied() {
    let place = Place::new(&ALL);
    place.write("first.json", fs::read(place.policy()).unwrap());
    place.reseal(&[]);
    is_not_applied(
        &place,
        "first.json",
        77,
        "first.json is of generation 1 (tpm: policy)",
        "What is sealed here is of generation 2. Sign it again, on this box.",
    );
    // With its number changed it is no longer signed.
    let renumbered =
        String::from_utf8(place.read("first.json")).unwrap().replace("\"generation\":1", "\"generation\":2");
    place.write("renumbered.json", renumbered);
    let what = "renumbered.json is not signed with the policy key (tpm: policy)";
    is_not_applied(&place, "renumbered.json", 65, what, NOT_SIGNED);
}

#[test]
fn a_file_that_nobody_signed_does_not_choose_what_is_signed() {
    let place = Place::new(&["relay"]);
    let policy = String::from_utf8(fs::read(place.policy()).unwrap()).unwrap();
    // For a generation to come, the state of now would count after the re-seal that takes it back.
    place.write("tpm/policies/000009-x.json", policy.replace("\"generation\":1", "\"generation\":9"));
    let not_signed = "000009-x.json is not signed with the policy key";
    let predict = [7, 11, 14].map(|pcr| format!("--predict={pcr}={}", place.swtpm.pcr(pcr)));
    let sign = ["custody", "policy", "sign", "--policy-key", "policy.pem"];
    place.run(&sign).says(65, not_signed);
    place.run(&[&sign[..], &predict.each_ref().map(String::as_str)].concat()).says(65, not_signed);
    place.run(&["custody", "reseal", "--policy-key", "policy.pem"]).says(65, not_signed);
}

#[test]
fn the_tpm_itself_refuses_a_policy_that_the_operator_did_not_sign() {
    let place = Place::new(&["relay"]);
    let policy = json::parse(&fs::read(place.policy()).unwrap()).unwrap();
    let (sealed, standing) =
        (policy.get_str("sealed_signature").unwrap(), policy.get_str("standing_signature").unwrap());
    place.fulfil_with("7,11,14", sealed, "local-vault.sealed.1").unwrap();
    // For another generation, and with the signature that is for resident keys.
    place.fulfil_with("7,11,14", sealed, "local-vault.sealed.2").unwrap_err();
    place.fulfil_with("7,11,14", standing, "local-vault.sealed.1").unwrap_err();
    // What holds for resident keys and epochs opens no seed.
    place.load_sealed(RELAY);
    place.fulfil_with("7,11,14", standing, "local-vault.standing").unwrap();
    place.tool("tpm2_unseal -c object.ctx -p session:policy.session").unwrap_err();
    let index = place.sealed(RELAY).get_str("nv_index").unwrap().to_owned();
    place.fulfil_with("7,11,14", standing, "local-vault.standing").unwrap();
    place.tool(&format!("tpm2_nvread {index} -C {index} -P session:policy.session")).unwrap_err();
}

#[test]
fn what_was_signed_is_never_written_over() {
    let place = Place::new(&[]);
    place.write("there.json", "mine");
    let sign = ["custody", "policy", "sign", "--policy-key", "policy.pem", "--output", "there.json"];
    place.run(&sign).says(74, "cannot write there.json: File exists");
    assert_eq!(place.read("there.json"), b"mine");
}

trait CheckAndSign {
    fn check_and_sign(&self) -> CustodyError;
}

impl CheckAndSign for local_vault::custody::tpm::ResidentKey {
    fn check_and_sign(&self) -> CustodyError {
        // A key that is there and fit may still not be used.
        self.check().unwrap();
        sign(self, "x").unwrap_err()
    }
}

impl Place {
    fn attest_nothing_but_open_an_epoch(&self) {
        use local_vault::custody::WrappingKey as _;
        self.wrapping().unwrap().generate_data_key(b"context").unwrap();
    }
}

#[test]
fn a_prediction_that_no_policy_is_about_is_refused_and_signs_nothing() {
    let place = Place::new(&["relay"]);
    let before = place.files("tpm");
    let value = "11".repeat(32);
    for (command, what) in
        [(vec!["12"], "PCR 12 is predicted, and no policy is about it"), (vec!["7", "7"], "PCR 7 is predicted twice")]
    {
        let given: Vec<String> =
            command.iter().flat_map(|pcr| ["--predict".into(), format!("{pcr}={value}")]).collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        for command in [["custody", "policy", "sign"].as_slice(), &["custody", "reseal"]] {
            place.run(&[command, &["--policy-key", "policy.pem"], &given].concat()).says(64, what);
        }
    }
    assert_eq!(place.files("tpm"), before);
}
