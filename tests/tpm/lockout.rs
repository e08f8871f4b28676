//! What others do to the TPM's count of wrong authorizations stops none of our keys, and ours never add to it.

use local_vault::protocol::json::Value;

use super::place::{ALL, Place, RELAY, SOURCE, sign};
use super::tpm_proxy::{LOAD, SIGN, UNSEAL};

/// An object of somebody else with dictionary-attack protection, below a parent without it, and loaded.
fn object_of_others(place: &Place) {
    place.for_tools("data", b"data");
    let parent = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    place.tool_ok(&format!("tpm2_createprimary -C o -G ecc -a {parent} -c others.ctx"));
    place.tool_ok("tpm2_create -C others.ctx -i data -p right -a fixedtpm|fixedparent|userwithauth -u o.pub -r o.priv");
    place.tool_ok("tpm2_load -C others.ctx -u o.pub -r o.priv -c others-object.ctx");
}

fn lock(place: &Place) {
    object_of_others(place);
    place.tool_ok(
        "tpm2_dictionarylockout --setup-parameters --max-tries=1 --recovery-time=1000 --lockout-recovery-time=1000",
    );
    place.tool("tpm2_unseal -c others-object.ctx -p wrong").unwrap_err();
    let said = place.tool("tpm2_unseal -c others-object.ctx -p right").unwrap_err();
    assert!(said.contains("lockout"), "{said}");
}

/// Takes the TPM's power away while it does a command, and gives it back.
fn power_fails_at(place: &Place, command: u32) {
    let swtpm = place.swtpm.clone();
    place.proxy.tamper(command, move |_| {
        swtpm.kill();
        swtpm.start();
    });
}

#[test]
fn power_that_fails_while_our_keys_are_loaded_counts_nothing() {
    let place = Place::new(&["relay", "source"]);
    for command in [LOAD, SIGN, UNSEAL, LOAD, SIGN, UNSEAL] {
        power_fails_at(&place, command);
        let (resident, released) = (place.resident(), place.released());
        // The operation is done anew over a new connection.
        sign(&resident, "x").unwrap();
        sign(&released, "x").unwrap();
        assert!(place.proxy.has_tampered());
        drop((resident, released));
        assert_eq!(place.lockout_counter(), 0);
    }
    // Loaded keys of others do count, so that this measures something.
    place.for_tools("data", b"data");
    place.tool_ok("tpm2_createprimary -C o -G ecc -c others.ctx");
    place.tool_ok("tpm2_create -C others.ctx -i data -p right -u o.pub -r o.priv");
    place.swtpm.flush();
    place.swtpm.tool("tpm2_load", &["-C", "others.ctx", "-u", "o.pub", "-r", "o.priv", "-c", "others-object.ctx"]);
    place.swtpm.tool("tpm2_unseal", &["-c", "others-object.ctx", "-p", "right"]);
    place.swtpm.kill();
    place.swtpm.start();
    assert_eq!(place.lockout_counter(), 1);
}

#[test]
fn our_keys_go_on_in_lockout_and_status_tells_of_it() {
    let place = Place::new(&ALL);
    lock(&place);
    place.attest("a");
    place.ok(&["custody", "selftest"]);
    place.generate("witness");
    place.reseal(&[]);
    place.ok(&["spool", "rotate"]);
    let told = place.ok(&["custody", "tpm", "status"]);
    let line = "lockout      LOCKED, for up to 1000 s (1 of 1 wrong authorizations); keys of local-vault go on\n";
    assert!(told.contains(line), "{told}");
    let status = place.status();
    let lockout = status.get_object("lockout").unwrap();
    assert_eq!((lockout.get("locked"), lockout.get("count")), (Some(&Value::Bool(true)), Some(&1u32.into())));
    // Nothing of this has made it worse.
    assert_eq!(place.lockout_counter(), 1);
}

#[test]
fn a_persistent_parent_with_dictionary_attack_protection_is_refused() {
    let place = Place::unprovisioned("parent = \"0x81000005\"\n");
    let what = "the parent key (0x81000005) has dictionary-attack protection (no noDA), so that a lockout would stop every \
                key (tpm: parent)";
    let advice = "Use custody.tpm.parent = \"template\", which needs no persistent key.";
    let provision = ["custody", "tpm", "provision", "--policy-key", "policy.pem"];
    place.run(&provision).fails(
        78,
        "the TPM has no key at 0x81000005 (tpm: parent)",
        "Was the TPM cleared? Nothing was made anew. Name the parent as custody.tpm.parent.",
    );
    place.tool_ok("tpm2_createprimary -C o -G ecc -c primary.ctx");
    place.tool_ok("tpm2_evictcontrol -C o -c primary.ctx 0x81000005");
    place.run(&provision).fails(78, what, advice);
    // Nor was anything left behind.
    assert!(!place.path("policy.pem").exists() && !place.path("tpm").exists());
}

#[test]
fn a_parent_that_was_exchanged_for_one_with_protection_is_refused_at_the_start() {
    let place = Place::unprovisioned("parent = \"0x81000005\"\n");
    let parent = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    place.tool_ok(&format!("tpm2_createprimary -C o -G ecc -a {parent} -c primary.ctx"));
    place.tool_ok("tpm2_evictcontrol -C o -c primary.ctx 0x81000005");
    place.provision(&[]);
    ALL.iter().for_each(|key| place.generate(key));
    place.attest("a");
    place.tool_ok("tpm2_evictcontrol -C o -c 0x81000005");
    place.try_attest("b").says(78, "the TPM has no key at 0x81000005");
    place.tool_ok("tpm2_createprimary -C o -G ecc -c primary.ctx");
    place.tool_ok("tpm2_evictcontrol -C o -c primary.ctx 0x81000005");
    place.try_attest("b").says(78, "has dictionary-attack protection (no noDA)");
}

#[test]
fn a_wrong_pin_is_refused_each_time_counts_nothing_and_the_right_one_works_then() {
    let place = Place::with(&ALL, "pin_file = \"pin\"\n");
    place.attest("a");
    place.secret("pin", "0000-wrong-pin\n");
    let advice = "Check pin. It is not tried again by itself; our objects never lock the TPM.";
    for n in 0..20 {
        let code = "(TPM2_Unseal: TPM_RC_BAD_AUTH 0x9a2)";
        let done = place.run(&["spool", "rotate"]);
        done.says(77, &format!("Error: the TPM refused the PIN {code}.\n"));
        let advice = advice.replace("Check pin.", &format!("Check {}.", place.path("pin").display()));
        assert!(done.err.ends_with(&format!("{advice}\n")), "{n}: {done:?}");
    }
    let error = sign(&place.resident(), "x").unwrap_err();
    assert_eq!((error.operation, error.message.as_str()), ("TPM2_Sign", "the TPM refused the PIN"));
    assert_eq!(place.lockout_counter(), 0);
    place.secret("pin", "7395-right-pin\n");
    place.attest("b");
    place.ok(&["custody", "selftest"]);
}

#[test]
fn a_process_takes_the_right_pin_after_a_wrong_one() {
    let place = Place::with(&["source", "relay"], "pin_file = \"pin\"\n");
    let (resident, released) = (place.resident(), place.released());
    place.secret("pin", "0000-wrong-pin\n");
    sign(&resident, "x").unwrap_err();
    sign(&released, "x").unwrap_err();
    place.secret("pin", "7395-right-pin\n");
    sign(&resident, "x").unwrap();
    sign(&released, "x").unwrap();
}

#[test]
fn a_key_that_asks_for_a_pin_is_used_by_nobody_without_it() {
    let place = Place::with(&["source", "relay"], "pin_file = \"pin\"\n");
    place.unseal(RELAY, "7,11,14").unwrap_err();
    place.reconfigure("pin_file = \"pin\"\n", "");
    // Without its PIN a key is not the one that is configured: its policy is another.
    let done = place.run(&["custody", "selftest", "--json"]);
    assert!(done.code == Some(77) && done.out.contains("TPM_RC_POLICY_FAIL"), "{done:?}");
    let what =
        format!("the key in {} has another policy than that of", place.path(format!("tpm/{SOURCE}.pem")).display());
    assert!(done.out.contains(&what), "{done:?}");
    assert_eq!(place.lockout_counter(), 0);
}
