//! Spools that are not to be opened, each with its exit code and its error word by word.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use local_vault::facts::Digest;

use super::vault::{Done, Vault, encryption_key, objects};

#[test]
fn the_spool_of_another_installation_is_refused() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    vault.reconfigure("installation.id = \"ins_1\"", "installation.id = \"ins_2\"");
    vault.reconfigure("/installations/ins_1/", "/installations/ins_2/");
    vault.run(&["relay", "drain"]).fails(
        78,
        &[
            "Error: the spool belongs to the installation ins_1, not to ins_2.",
            "Name the spool of this installation, or run: local-vault relay resume --installation-id NEW (after a \
             re-enrolment)",
        ],
    );
}

#[test]
fn the_spool_of_another_key_is_refused_and_not_changed() {
    let vault = Vault::with_an_event();
    let content = || Digest::of(&fs::read(vault.path("spool.sqlite3")).unwrap());
    let before = content();
    vault.secret("encryption.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let done = vault.run(&["spool", "rotate"]);
    let (first, second) = done.err.split_once('\n').unwrap();
    assert_eq!(done.code, Some(78));
    assert!(first.starts_with("Error: the spool was written with the key file-") && first.ends_with(" is configured."));
    assert_eq!(second, "Configure the encryption key that this spool was made with.\n");
    assert_eq!(content(), before);
}

#[test]
fn garbage_and_other_peoples_files_are_not_opened_as_a_spool() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let spool = vault.path("spool.sqlite3");
    let refused = |bytes: &[u8]| {
        fs::write(&spool, bytes).unwrap();
        for words in [["spool", "list"], ["spool", "rotate"], ["attest", "a"]] {
            vault.run(&words).fails(
                78,
                &[
                    &format!("Error: {} is not a spool of local-vault.", spool.display()),
                    "Name another file. This one was not touched.",
                ],
            );
        }
        assert!(fs::read(&spool).unwrap() == bytes);
    };
    refused(b"garbage");
    refused(&[0x5a; 20_000]);
    let other = rusqlite::Connection::open(vault.path("other")).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    refused(&fs::read(vault.path("other")).unwrap());
}

#[test]
fn a_truncated_spool_is_damaged() {
    let vault = Vault::with_an_event();
    let spool = vault.path("spool.sqlite3");
    File::options().write(true).open(&spool).unwrap().set_len(5000).unwrap();
    for words in [["spool", "list"], ["spool", "rotate"], ["attest", "a"]] {
        let done = vault.run(&words);
        assert_eq!(done.code, Some(65), "{done:?}");
        assert!(done.err.starts_with("Error: the database is damaged: "), "{done:?}");
        assert!(done.err.ends_with("Nothing was changed. Keep the file, and restore the disk before going on.\n"));
    }
}

#[test]
fn no_flipped_byte_makes_a_spool_say_something_else() {
    let vault = Vault::with_an_event();
    let spool = vault.path("spool.sqlite3");
    let whole = fs::read(&spool).unwrap();
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let show = ["spool", "show", &id, "--payload", "--json"];
    let payload = vault.json(&show)[0].get_object("payload").cloned();
    // An odd step shares no factor with the page size, so that every place in a page is met.
    for at in (0..whole.len()).step_by((whole.len() / 150) | 1) {
        fs::write(&spool, &whole).unwrap();
        let file = File::options().write(true).open(&spool).unwrap();
        file.write_all_at(&[whole[at] ^ 0xff], at as u64).unwrap();
        let done = vault.run(&show);
        match done.code {
            Some(0) => assert_eq!(objects(&done.out)[0].get_object("payload").cloned(), payload, "{at}"),
            Some(65 | 74 | 75 | 78) => assert_eq!(done.err.lines().count(), 2, "byte {at}: {done:?}"),
            _ => panic!("byte {at}: {done:?}"),
        }
    }
}

#[test]
fn a_spool_path_that_is_not_text_is_that_file_and_no_other() {
    let vault = Vault::new();
    let name = OsStr::from_bytes(b"\xff.sqlite3");
    vault.write("p.json", "{}");
    let mut command =
        vault.without_config(&["enqueue-json", "--stream-id", "s", "--source-ref", "r", "--payload-file", "p.json"]);
    command.arg("--spool-db").arg(name).env("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", encryption_key());
    Done::of(&mut command).ok();
    assert!(vault.path(name).exists());
}
