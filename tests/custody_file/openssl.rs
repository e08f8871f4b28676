use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use local_vault::custody::file::{Encryption, FileKey, load_signing_key};
use local_vault::custody::{CustodyError, ErrorKind, SigningKey as _};
use local_vault::protocol::Algorithm;
use tempfile::TempDir;

use super::{PASSPHRASE, WRONG, file, folder, load, refusal, works, write};

/// What `genpkey` is told for each kind of key that we use.
const KINDS: [(&str, Algorithm); 2] =
    [("-algorithm ed25519", Algorithm::Ed25519), ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256", Algorithm::Es256)];

/// Runs `openssl` in `folder`, and gives what it wrote the mode that a key file has.
fn openssl(folder: &TempDir, words: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder.path()).args(words.split(' '));
    let ran = command.output().expect("openssl is installed (ci/setup installs it)");
    assert!(ran.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ran.stderr));
    let written = words.split(' ').skip_while(|word| *word != "-out").nth(1).unwrap();
    fs::set_permissions(folder.path().join(written), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A folder with `plain.pem` of this kind, and the passphrase in `passphrase`.
fn with_plain(kind: &str) -> TempDir {
    let folder = folder();
    write(&folder, "passphrase", format!("{PASSPHRASE}\n"), 0o600);
    openssl(&folder, &format!("genpkey {kind} -out plain.pem"));
    folder
}

fn load_with(folder: &TempDir, passphrase: &str) -> Result<(FileKey, Encryption), CustodyError> {
    load_signing_key(&file(&folder.path().join("key.pem")), Some(&file(&folder.path().join(passphrase))))
}

fn plain(folder: &TempDir) -> PathBuf {
    folder.path().join("plain.pem")
}

#[test]
fn a_plain_key_loads() {
    for (kind, algorithm) in KINDS {
        let (key, encryption) = works(load(&file(&plain(&with_plain(kind)))));
        assert_eq!((key.algorithm(), encryption), (algorithm, Encryption::None));
    }
}

#[test]
fn an_encrypted_key_loads_and_tells_how_it_was_encrypted() {
    for (kind, _) in KINDS {
        let folder = with_plain(kind);
        let public = works(load(&file(&plain(&folder)))).0.public_key().to_hex();
        for (way, expected) in [
            ("pkcs8 -topk8 -scrypt", Encryption::Scrypt),
            ("pkcs8 -topk8", Encryption::Pbkdf2 { iterations: 2_048 }),
            ("pkcs8 -topk8 -v2 aes-128-cbc -iter 5000", Encryption::Pbkdf2 { iterations: 5_000 }),
            ("pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512", Encryption::Pbkdf2 { iterations: 2_048 }),
        ] {
            openssl(&folder, &format!("{way} -in plain.pem -out key.pem -passout file:passphrase"));
            let (key, encryption) = works(load_with(&folder, "passphrase"));
            assert_eq!((key.public_key().to_hex(), encryption), (public.clone(), expected), "{way}");
        }
    }
}

#[test]
fn genpkey_with_a_cipher_loads_and_its_2048_iterations_show() {
    let folder = with_plain("-algorithm ed25519");
    openssl(&folder, "genpkey -algorithm ed25519 -aes256 -out key.pem -pass file:passphrase");
    assert_eq!(works(load_with(&folder, "passphrase")).1, Encryption::Pbkdf2 { iterations: 2_048 });
}

#[test]
fn outdated_encryption_is_refused_before_the_passphrase_is_read() {
    let folder = with_plain("-algorithm ed25519");
    for (way, told) in [
        ("-v2 aes-256-cbc -v2prf hmacWithSHA1", "SHA-1"),
        ("-v2 des3", "AES"),
        ("-v1 PBE-SHA1-3DES", "AES"),
        ("-v2 camellia-256-cbc", "AES"),
    ] {
        openssl(&folder, &format!("pkcs8 -topk8 {way} -in plain.pem -out key.pem -passout file:passphrase"));
        // There is no such passphrase file, and it is not missed.
        let refused = refusal(load_with(&folder, "absent"));
        assert_eq!(refused.kind, ErrorKind::Misconfigured, "{way}");
        assert!(refused.message.contains(told), "{way}: {refused}");
        assert!(refused.advice.contains("openssl pkcs8 -topk8"), "{way}");
    }
}

#[test]
fn a_wrong_passphrase_is_refused_however_the_noise_looks() {
    let folder = with_plain("-algorithm ed25519");
    openssl(&folder, "pkcs8 -topk8 -in plain.pem -out key.pem -passout file:passphrase");
    // A few of these leave padding that looks right.
    for i in 0..600 {
        write(&folder, "wrong", format!("{WRONG}{i}"), 0o600);
        assert_eq!(refusal(load_with(&folder, "wrong")).kind, ErrorKind::Refused, "{i}");
    }
}

#[test]
fn a_passphrase_is_a_line_of_which_the_line_end_is_no_part() {
    let folder = with_plain("-algorithm ed25519");
    openssl(&folder, "pkcs8 -topk8 -scrypt -in plain.pem -out key.pem -passout file:passphrase");
    for line_end in ["", "\n", "\r\n"] {
        write(&folder, "passphrase", format!("{PASSPHRASE}{line_end}"), 0o600);
        works(load_with(&folder, "passphrase"));
    }
    for other in [format!(" {PASSPHRASE}"), format!("{PASSPHRASE} "), format!("{PASSPHRASE}\n\n")] {
        write(&folder, "passphrase", other, 0o600);
        assert_eq!(refusal(load_with(&folder, "passphrase")).kind, ErrorKind::Refused);
    }
}

#[test]
fn a_missing_or_empty_passphrase_is_named() {
    let folder = with_plain("-algorithm ed25519");
    openssl(&folder, "pkcs8 -topk8 -scrypt -in plain.pem -out key.pem -passout file:passphrase");
    let none = refusal(load(&file(&folder.path().join("key.pem"))));
    assert_eq!(none.kind, ErrorKind::Misconfigured);
    assert!(none.advice.contains("passphrase_file"));

    assert_eq!(refusal(load_with(&folder, "absent")).kind, ErrorKind::NotFound);
    for empty in ["", "\n", "\r\n"] {
        write(&folder, "empty", empty, 0o600);
        let refused = refusal(load_with(&folder, "empty"));
        assert_eq!(refused.kind, ErrorKind::Misconfigured);
        assert!(refused.message.contains("empty holds no passphrase"));
    }
    write(&folder, "loose", PASSPHRASE, 0o644);
    assert_eq!(refusal(load_with(&folder, "loose")).operation, "mode");
}

#[test]
fn a_passphrase_beside_a_plain_key_is_not_read() {
    let folder = with_plain("-algorithm ed25519");
    works(load_signing_key(&file(&plain(&folder)), Some(&file(&folder.path().join("absent")))));
}

#[test]
fn traditional_pem_is_refused_with_the_command_that_rewrites_it() {
    let folder = with_plain("-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for way in [
        "ec -in plain.pem -out key.pem",
        "ec -in plain.pem -aes256 -passout file:passphrase -out key.pem",
        "ecparam -name prime256v1 -genkey -out key.pem",
    ] {
        openssl(&folder, way);
        let refused = refusal(load_with(&folder, "passphrase"));
        assert_eq!(refused.kind, ErrorKind::Misconfigured, "{way}");
        assert!(refused.advice.contains("openssl pkcs8 -topk8"), "{way}");
    }
}

#[test]
fn keys_of_other_kinds_are_refused() {
    for (kind, told) in [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", "neither"),
        ("-algorithm x25519", "neither"),
        ("-algorithm ed448", "neither"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "another curve"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "another curve"),
    ] {
        let refused = refusal(load(&file(&plain(&with_plain(kind)))));
        assert_eq!(refused.kind, ErrorKind::Misconfigured, "{kind}");
        assert!(refused.message.contains(told), "{kind}: {refused}");
    }
}

#[test]
fn a_public_key_is_no_private_one() {
    let folder = with_plain("-algorithm ed25519");
    openssl(&folder, "pkey -in plain.pem -pubout -out key.pem");
    let refused = refusal(load_with(&folder, "passphrase"));
    assert!(refused.message.contains("PUBLIC KEY"), "{refused}");
}
