//! Keys that the maker's tool made, which may do more than they should.

use super::place::Place;

const ADVICE: &str = "Nothing was done with it. Make a key that is fit: local-vault custody generate";

/// Makes a key with pkcs11-tool under the name of the one in this section, which goes.
fn replace(place: &Place, section: &str, make: &[&str], kind: &[&str]) -> String {
    let (label, id) = (place.member(section, "label"), place.member(section, "id"));
    for kind in kind {
        place.softhsm.pkcs11_tool(&["--delete-object", "--type", kind, "--id", &id]);
    }
    place.softhsm.pkcs11_tool(&[make, &["--label", &label, "--id", &id]].concat());
    format!("the key {label:?} (id {id}) is refused: it")
}

const PAIR: [&str; 4] = ["--keypairgen", "--key-type", "EC:edwards25519", "--usage-sign"];
const AES: [&str; 4] = ["--keygen", "--key-type", "AES:32", "--sensitive"];

#[test]
fn a_signing_key_that_may_leave_or_do_more_is_refused_by_all_that_is_wrong_with_it() {
    let place = Place::new(&["source"]);
    place.write("a", "alpha");
    let extractable = [PAIR.as_slice(), &["--extractable"]].concat();
    let key = replace(&place, "custody.keys.source", &extractable, &["privkey", "pubkey"]);
    let what = format!("{key} is extractable, it may also decrypt, it may also unwrap (pkcs11: attributes)");
    place.run(&["attest", "a"]).fails(78, &what, ADVICE);
    let report = place.run(&["custody", "report", "--json"]);
    assert_eq!(report.code, Some(78));
    assert!(report.out.contains("\"problem\": \"the key "), "{report:?}");

    replace(&place, "custody.keys.source", &PAIR, &["privkey", "pubkey"]);
    let what = format!("{key} may also decrypt, it may also unwrap (pkcs11: attributes)");
    place.run(&["attest", "a"]).fails(78, &what, ADVICE);
    assert!(!place.path("spool.sqlite3").exists(), "nothing was spooled");
}

#[test]
fn what_makes_a_key_unfit_is_listed_and_shown() {
    let place = Place::new(&["source"]);
    let key = [PAIR.as_slice(), &["--extractable", "--label", "loose", "--id", "0a"]].concat();
    place.softhsm.pkcs11_tool(&key);
    let list = place.ok(&["custody", "list"]);
    let row = |label: &str| list.lines().find(|line| line.starts_with(label)).unwrap();
    let words: Vec<&str> = row("loose").split_whitespace().collect();
    assert_eq!(words[..5], ["loose", "0a", "Ed25519", "-", "no"]);
    let words: Vec<&str> = row("local-vault-source").split_whitespace().collect();
    assert_eq!(words[2..5], ["Ed25519", "source", "yes"]);
    let shown = place.ok(&["custody", "show", "loose"]);
    for line in ["CKA_EXTRACTABLE          yes", "never left the token     no"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(shown.contains("is extractable") && shown.contains("may also decrypt"), "{shown}");
    place.run(&["custody", "show", "none"]).fails(
        78,
        "the token holds no key \"none\"",
        "Run: local-vault custody list",
    );
}

#[test]
fn a_wrapping_key_of_another_length_is_refused() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    let short = ["--keygen", "--key-type", "AES:16", "--sensitive"];
    let key = replace(&place, "custody.pkcs11.wrapping", &short, &["secrkey"]);
    let done = place.run(&["custody", "list"]);
    assert!(done.out.lines().any(|line| line.contains("wrapping") && line.contains(" no ")), "{done:?}");
    let shown = place.ok(&["custody", "show", &place.member("custody.pkcs11.wrapping", "label")]);
    assert!(shown.contains("CKA_VALUE_LEN            16"), "{shown}");
    assert_eq!(place.run(&["attest", "a"]).code, Some(78), "{key}");
}

#[test]
fn a_wrapping_key_that_may_both_unwrap_and_decrypt_is_refused() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    let key = replace(&place, "custody.pkcs11.wrapping", &AES, &["secrkey"]);
    let what = format!("{key} may both wrap keys and decrypt, which gives away the keys it wraps (pkcs11: attributes)");
    place.run(&["attest", "a"]).fails(78, &what, ADVICE);
    place.run(&["custody", "selftest"]).fails(78, &what, ADVICE);
}
