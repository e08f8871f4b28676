use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ed25519_dalek::SigningKey;

use super::home::Home;

#[test]
fn an_encryption_key_is_32_bytes_in_padded_url_safe_base64() {
    let home = Home::new();
    let (first, second) = (home.run(&["generate-encryption-key"]), home.run(&["generate-encryption-key"]));
    for said in [&first, &second] {
        assert_eq!((said.code, said.out.len(), &said.out[43..]), (0, 45, "=\n"));
        assert!(said.out[..43].bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
    }
    assert_ne!(first.out, second.out);
    let key = first.out.trim_end().to_owned();
    home.with("ENCRYPTION_KEY", &key).spool("s", "r", "{}");
}

#[test]
fn a_signing_key_is_written_once_and_shown_by_its_public_half() {
    let home = Home::new();
    let said = home.run(&["generate-signing-key", "--private-key-file", "new/.//folder/key", "--key-id", "schlüssel"]);
    let file = fs::read_to_string(home.path("new/folder/key")).unwrap();
    let seed: [u8; 32] = hex::decode(file.strip_suffix('\n').unwrap()).unwrap().try_into().unwrap();
    assert_eq!(file, format!("{}\n", hex::encode(seed)));
    let public = hex::encode(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
    let line = format!(
        "{{\"keyId\": \"schl\\u00fcssel\", \"privateKeyFile\": \"new/folder/key\", \"publicKeyHex\": \"{public}\"}}\n"
    );
    said.is(0, &line);
    let mode = fs::metadata(home.path("new/folder/key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    home.run(&["generate-signing-key", "--private-key-file", "new/folder/key"]).is(1, "");
    assert_eq!(fs::read_to_string(home.path("new/folder/key")).unwrap(), file);
}

#[test]
fn a_key_that_cannot_be_written_leaves_no_file_in_its_place() {
    let home = Home::new();
    let said = home.run_without_room(&["generate-signing-key", "--private-key-file", "key"]);
    said.is(1, "");
    assert!(!home.path("key").exists());
    assert_eq!(home.run(&["generate-signing-key", "--private-key-file", "key"]).code, 0);
}

#[test]
fn the_key_id_has_a_default() {
    let said = Home::new().run(&["generate-signing-key", "--private-key-file=key"]);
    assert!(said.out.starts_with("{\"keyId\": \"local-vault-1\", \"privateKeyFile\": \"key\", \"publicKeyHex\": \""));
}

#[test]
fn a_command_line_that_does_not_parse_ends_with_2() {
    let home = Home::new();
    home.run(&["generate-encryption-key", "x"]).is(2, "");
    home.run(&["generate-signing-key"]).is(2, "");
    home.run(&["generate-signing-key", "--private-key-file", "key", "--frobnicate"]).is(2, "");
    assert!(!home.path("key").exists());
}
