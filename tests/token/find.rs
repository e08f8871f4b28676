//! Tokens and keys that are not there, and names that fit several.

use super::place::{LABEL, Place};

const KEYS_OF_ITS_OWN: &str =
    "Which of them is meant is not guessed. Give each its own label and id with the maker's tool.";

/// The name of a key as errors write it.
fn key(place: &Place, section: &str) -> String {
    format!("key {:?} (id {})", place.member(section, "label"), place.member(section, "id"))
}

#[test]
fn a_token_that_is_not_there_is_69_and_the_others_are_named() {
    let place = Place::new(&[]);
    place.softhsm.add_token("edge-08");
    place.reconfigure("token_label = \"edge-07\"", "token_label = \"edge-09\"");
    let done = place.run(&["custody", "list"]);
    let (what, rest) = done.err.split_once('\n').unwrap();
    assert_eq!((done.code, what), (Some(69), "Error: token \"edge-09\" is not there (pkcs11: find)."));
    let named = ["\"edge-07\", \"edge-08\"", "\"edge-08\", \"edge-07\""].map(|tokens| {
        format!("The module shows {tokens}. Insert or start the token, or mend custody.pkcs11.token_label.\n")
    });
    assert!(named.contains(&rest.to_owned()), "{rest}");

    place.softhsm.take_away();
    place.run(&["custody", "list"]).fails(
        69,
        "token \"edge-09\" is not there (pkcs11: find)",
        "The module shows no token. Insert or start the token, or mend custody.pkcs11.token_label.",
    );
}

#[test]
fn two_tokens_of_one_label_are_told_apart_by_their_serials() {
    let place = Place::new(&["source", "wrapping"]);
    let slots = || place.softhsm.tool("softhsm2-util", &["--show-slots"]);
    let serials = || {
        let shown = slots();
        let serials = shown.lines().filter_map(|line| line.trim().strip_prefix("Serial number:"));
        serials.map(|serial| serial.trim().to_owned()).filter(|serial| !serial.is_empty()).collect::<Vec<_>>()
    };
    let [ours] = <[String; 1]>::try_from(serials()).unwrap();
    place.softhsm.add_token(LABEL);
    let other = serials().into_iter().find(|serial| *serial != ours).unwrap();
    let done = place.run(&["custody", "list"]);
    let advice = [format!("{ours} or {other}"), format!("{other} or {ours}")]
        .map(|serials| format!("Name one by its custody.pkcs11.token_serial: {serials}"));
    let lines: Vec<&str> = done.err.lines().collect();
    assert_eq!((done.code, lines[0]), (Some(78), "Error: 2 tokens fit: token \"edge-07\" (pkcs11: find)."));
    assert!(lines.len() == 2 && advice.contains(&lines[1].to_owned()), "{done:?}");

    let label = "token_label = \"edge-07\"";
    place.reconfigure(label, &format!("{label}\ntoken_serial = \"{ours}\""));
    place.ok(&["custody", "report"]);
    place.reconfigure(&ours, &other);
    assert!(!place.ok(&["custody", "list"]).contains("local-vault-source"));
    place.reconfigure(&other, "0000000000000000");
    place.run(&["custody", "list"]).fails(
        69,
        "token \"edge-07\" with the serial 0000000000000000 is not there (pkcs11: find)",
        "The module shows \"edge-07\", \"edge-07\". Insert or start the token, or mend custody.pkcs11.token_label.",
    );
}

#[test]
fn a_key_that_is_missing_is_named_by_label_and_id() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    for section in ["custody.keys.source", "custody.pkcs11.wrapping"] {
        let config = place.config();
        let id = place.member(section, "id");
        place.reconfigure(&id, &"ab".repeat(16));
        place.run(&["attest", "a"]).fails(
            78,
            &format!("the token holds no {} (pkcs11: find)", key(&place, section)),
            "Run `local-vault custody list` for what the token holds under which id, or make the key: local-vault custody generate",
        );
        place.write("local-vault.toml", config);
    }
    place.ok(&["attest", "a"]);
}

#[test]
fn two_keys_of_one_name_are_never_chosen_from() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    let another = |section: &str, make: &[&str]| {
        let (label, id) = (place.member(section, "label"), place.member(section, "id"));
        place.softhsm.pkcs11_tool(&[make, &["--label", &label, "--id", &id]].concat());
        place.run(&["attest", "a"]).fails(
            78,
            &format!("the token holds 2 objects named {} (pkcs11: find)", key(&place, section)),
            KEYS_OF_ITS_OWN,
        );
    };
    another("custody.pkcs11.wrapping", &["--keygen", "--key-type", "AES:32", "--sensitive"]);
    another("custody.keys.source", &["--keypairgen", "--key-type", "EC:edwards25519", "--usage-sign"]);
}

#[test]
fn a_key_with_another_public_half_than_the_pinned_one_is_refused() {
    let place = Place::new(&["relay", "source", "record", "wrapping"]);
    let (config, pinned, other) = (place.config(), place.public_key("source"), place.public_key("relay"));
    place.write("a", "alpha");
    // Two purposes would have one key: that is seen without the token.
    place.reconfigure(&pinned, &other);
    assert_eq!(place.run(&["attest", "a"]).code, Some(78));
    // The base point of Ed25519 (RFC 8032, section 5.1), which is nobody's key here.
    place.write("local-vault.toml", config);
    place.reconfigure(&pinned, &format!("58{}", "66".repeat(31)));
    let refused = |code, what: &str, advice: &str| {
        place.run(&["attest", "a"]).fails(code, &format!("the {} {what}", key(&place, "custody.keys.source")), advice);
    };
    let expected = place.public_key("source");
    refused(
        78,
        &format!("has the public key {pinned}, and another one is expected (pkcs11: find)"),
        &format!("Expected is {expected}. Is this the token that was enrolled?"),
    );

    // A token that shows no public half is believed by its signatures alone.
    let id = place.member("custody.keys.source", "id");
    place.softhsm.pkcs11_tool(&["--delete-object", "--type", "pubkey", "--id", &id]);
    refused(
        65,
        "does not sign as its public key says (pkcs11: self-test)",
        "Nothing was signed with it. Check public_key, and that the token is the one enrolled.",
    );
    place.reconfigure(&expected, &pinned);
    place.ok(&["custody", "report"]);
}

#[test]
fn a_key_for_records_that_also_relays_signs_no_record() {
    let place = Place::new(&["record", "wrapping"]);
    let config = place.config();
    let (_, record) = config.split_once("[custody.keys.record]\n").unwrap();
    let record = record.split("\n\n").next().unwrap();
    place.write("local-vault.toml", format!("{config}\n[custody.keys.relay]\n{record}\n"));
    place.run(&["spool", "rotate"]).fails(
        78,
        "one key serves two purposes, relay and record",
        "Make a key of its own for each purpose; `custody report` shows them.",
    );
    assert!(!place.path("spool.sqlite3").exists());
}

#[test]
fn a_public_half_that_is_alone_is_shown_and_its_name_is_taken() {
    let place = Place::new(&["source"]);
    place.softhsm.pkcs11_tool(&["--delete-object", "--type", "privkey", "--label", "local-vault-source"]);
    let list = place.ok(&["custody", "list"]);
    let row = list.lines().find(|line| line.starts_with("local-vault-source")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words[2..5], ["Ed25519", "source", "no"]);
    assert!(place.ok(&["custody", "show", "local-vault-source"]).contains("it is a public half alone"));
    place.run(&["custody", "generate", "source"]).fails(
        77,
        "the token already holds an object with the label \"local-vault-source\" (pkcs11: generate)",
        "Nothing was made or changed. Choose another one; `local-vault custody list` shows what is there.",
    );
    // The key itself is missing: that is the configuration's matter, and says nothing about the device.
    assert_eq!(place.run(&["custody", "selftest"]).code, Some(78));
}
