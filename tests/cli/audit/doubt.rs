//! What is told where something stands in doubt: a refused secret, a key that does not load, a line that is not whole.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::super::vault::Vault;
use super::{first_file, lines, verified};

#[test]
fn a_refused_passphrase_is_told_of_by_name_and_once() {
    let vault = Vault::with_an_event();
    vault.secret("pass", "right\n");
    vault.openssl("genpkey -algorithm ed25519 -out plain.key");
    vault.openssl("pkcs8 -topk8 -scrypt -in plain.key -passout file:pass -out source.key");
    vault.secret("pass", "wrong\n");
    vault.reconfigure("kid = \"source-1\"", "kid = \"source-1\"\npassphrase_file = \"pass\"");
    vault.write("b", "beta");
    assert_eq!(vault.run(&["attest", "b"]).code, Some(77));
    let shown = vault.ok(&["audit", "show", "--kind", "PinRefused"]);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.contains("operation=decrypt"), "{shown}");
}

#[test]
fn no_other_key_is_believed_in_place_of_one_that_does_not_load() {
    let vault = Vault::with_an_event();
    verified(&vault);
    fs::set_permissions(vault.path("encryption.key"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(vault.run(&["audit", "verify"]).code, Some(78));
}

#[test]
fn what_a_crash_left_behind_the_last_line_is_no_damage() {
    let vault = Vault::with_an_event();
    let last = lines(&vault).pop().unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(first_file(&vault)).unwrap();
    file.write_all(&last.as_bytes()[..40]).unwrap();
    let done = vault.run(&["audit", "verify"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("A crash left 40 bytes"), "{done:?}");
    assert_eq!(vault.run(&["audit", "recover", "--reason", "none"]).code, Some(77));
    vault.ok(&["relay", "pause"]);
    assert!(vault.ok(&["audit", "show", "--kind", "TornLineCut"]).contains("bytes=40"));
}

#[test]
fn nothing_but_heads_goes_into_their_stream() {
    let vault = Vault::new();
    vault.configure("[audit]\nstream_id = \"str_1\"");
    vault.write("a", "alpha");
    vault.run(&["attest", "a"]).fails(
        64,
        &[
            "Error: the stream str_1 is that of the audit log.",
            "[audit] names it for the heads of the audit log, and nothing else goes there. Name another one.",
        ],
    );
    assert_eq!(vault.run(&["spool", "list"]).code, Some(78));
}
