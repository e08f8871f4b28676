use local_vault::protocol::json::{Object, Value};

use super::vault::{Vault, names, public_key};

fn keys(vault: &Vault) -> Vec<Object> {
    let report = vault.json(&["custody", "report", "--json"]);
    let keys = report[0].get("keys").and_then(Value::as_array).unwrap();
    keys.iter().map(|key| key.as_object().unwrap().clone()).collect()
}

#[test]
fn every_key_is_shown_with_its_purpose_and_its_public_half() {
    let vault = Vault::new();
    let keys = keys(&vault);
    let members = ["algorithm", "atRest", "kid", "protection", "publicKeyHex", "purpose", "source"];
    assert!(keys.iter().all(|key| names(key) == members));
    for (key, purpose) in keys.iter().zip(["relay", "source", "witness"]) {
        assert_eq!(key.get_str("purpose"), Some(purpose));
        assert_eq!(key.get_str("publicKeyHex"), Some(public_key(purpose).as_str()));
        assert_eq!(key.get_str("protection"), Some("software"));
    }
    // Derived from the encryption key, since the config file names none.
    assert_eq!(keys[3].get_str("source"), Some("the encryption key (HKDF)"));
    let table = vault.ok(&["custody", "report"]);
    assert!(["relay", "source", "witness"].iter().all(|purpose| table.contains(&public_key(purpose))));
    assert!(table.lines().last().unwrap().starts_with("wrapping key file-"));
}

#[test]
fn encrypted_keys_tell_how_they_are_encrypted_and_weak_ones_are_remarked_on() {
    let vault = Vault::new();
    vault.secret("pass", "open sesame\n");
    for (purpose, how) in
        [("relay", "-scrypt"), ("source", "-v2 aes-256-cbc"), ("witness", "-v2 aes-256-cbc -iter 600000")]
    {
        vault.openssl("genpkey -algorithm ed25519 -out plain.pem");
        vault.openssl(&format!("pkcs8 -topk8 {how} -in plain.pem -passout file:pass -out {purpose}.key"));
        vault.reconfigure(
            &format!("kid = \"{purpose}-1\""),
            &format!("kid = \"{purpose}-1\"\npassphrase_file = \"pass\""),
        );
    }
    let at_rest: Vec<String> = keys(&vault).iter().map(|key| key.get_str("atRest").unwrap().to_owned()).collect();
    assert_eq!(at_rest, ["scrypt", "pbkdf2 x2048", "pbkdf2 x600000", "plain"]);
    let remark = format!(
        "{}: 2048 PBKDF2 iterations are few; rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW\n",
        vault.shown("source.key")
    );
    assert_eq!(vault.run(&["custody", "report"]).err, remark);
}
