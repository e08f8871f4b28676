//! Another board takes over from one that died, with what the operator kept, and nobody else can.

use std::fs;

use local_vault::custody::ErrorKind;

use super::place::{ALL, Place, RELAY, WRAPPING, files, sign};
use super::process::Loop;

/// A new board in the place of the old one: its folder and config, and another TPM.
fn new_board(old: &Place) -> Place {
    let new = Place::unprovisioned("");
    for path in files(&old.path("tpm")).iter().filter(|path| path.to_str().unwrap().ends_with(".recovery.json")) {
        fs::create_dir_all(new.path("tpm")).unwrap();
        fs::copy(path, new.path("tpm").join(path.file_name().unwrap())).unwrap();
    }
    for name in ["policy.pem", "recovery.key"] {
        fs::copy(old.path(name), new.path(name)).unwrap();
    }
    new.provision(&["--recovery-public-key", &old.member("custody.tpm", "recovery_key")]);
    let (_, keys) = old.config().split_once("\n[custody.keys").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    new.write("local-vault.toml", format!("{}\n[custody.keys{keys}", new.config()));
    new
}

#[test]
fn another_board_signs_with_the_same_key() {
    let old = Place::new(&["relay"]);
    let new = new_board(&old);
    assert_eq!(new.member("custody.tpm", "policy_key"), old.member("custody.tpm", "policy_key"));
    assert_ne!(new.member("custody.tpm", "parent_name"), old.member("custody.tpm", "parent_name"));
    assert_eq!(sign(&new.released(), "x").unwrap_err().kind, ErrorKind::NotFound);
    let told = new.ok(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", RELAY]);
    assert_eq!(told, format!("{RELAY} {}\n", old.public_key("relay")));
    assert_eq!(new.public_key("relay"), old.public_key("relay"));
    sign(&new.released(), "x").unwrap();
    // It is sealed here as any other: a re-seal takes it along, and it is covered for the next board.
    new.reseal(&[]);
    sign(&new.released(), "x").unwrap();
    let next = new_board(&new);
    next.ok(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", RELAY]);
    sign(&next.released(), "x").unwrap();
}

#[test]
fn the_whole_folder_may_come_along() {
    let old = Place::new(&["relay", "source"]);
    let new = Place::unprovisioned("");
    for (path, bytes) in old.files("tpm") {
        let path = new.path("tpm").join(path.strip_prefix(old.path("tpm")).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::copy(old.path("policy.pem"), new.path("policy.pem")).unwrap();
    fs::copy(old.path("recovery.key"), new.path("recovery.key")).unwrap();
    // Its policies are of the old board, which is told of before anything is made.
    let provision = ["custody", "tpm", "provision", "--policy-key", "policy.pem"];
    new.run(&provision).says(77, "was provisioned before");
    fs::remove_dir_all(new.path("tpm/policies")).unwrap();
    new.provision(&["--recovery-public-key", &old.member("custody.tpm", "recovery_key")]);
    let (_, keys) =
        old.config().split_once("\n[custody.keys.relay]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let keys = keys.split("\n[").next().unwrap().to_owned();
    new.write("local-vault.toml", format!("{}\n[custody.keys.relay]{keys}", new.config()));
    assert!(sign(&new.released(), "x").unwrap_err().message.contains("no longer has its half of this secret"));
    new.ok(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", RELAY]);
    sign(&new.released(), "x").unwrap();
}

#[test]
fn another_recovery_key_opens_nothing_and_changes_nothing() {
    let (old, other) = (Place::new(&["relay"]), Place::new(&[]));
    let new = new_board(&old);
    let before = new.files("tpm");
    let recover = |key: &str| new.run(&["custody", "tpm", "recover", "--recovery-key", key, RELAY]);
    recover(other.path("recovery.key").to_str().unwrap()).fails(
        77,
        "the covered seed does not open with this key (tpm: recover)",
        "Is it the recovery key that was made with this box? Nothing was changed.",
    );
    new.secret("bad.key", "not hex\n");
    recover("bad.key").fails(78, "bad.key is no recovery key (tpm: recover)", "It holds 64 hex digits.");
    recover("none.key").says(78, "none.key");
    let name = format!("tpm/{RELAY}.recovery.json");
    let text = String::from_utf8(new.read(&name)).unwrap();
    // The public half is bound to what is covered.
    let public = old.public_key("relay");
    new.write(&name, text.replace(&public, &other_public(&public)));
    let done = recover("recovery.key");
    assert!(done.code == Some(77) || done.code == Some(65), "{done:?}");
    new.write(&name, &text[..text.len() - 1]);
    recover("recovery.key").says(65, "does not read");
    new.write(&name, &text);
    assert_eq!(new.files("tpm"), before);
    new.run(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", "other"]).says(78, "other.recovery.json");
    recover("recovery.key").ok();
}

#[test]
fn a_recovery_takes_the_place_of_its_own_key_alone() {
    let place = Place::new(&ALL);
    place.generate("witness");
    place.attest("a");
    let witness = place.read("tpm/local-vault-witness.recovery.json");
    let before = [RELAY, WRAPPING].map(|label| place.read(format!("tpm/{label}.sealed.json")));
    for label in [RELAY, WRAPPING] {
        place.write(format!("tpm/{label}.recovery.json"), &witness);
        let done = place.run(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", label]);
        done.says(77, "holds another secret than the covered seed");
    }
    assert_eq!([RELAY, WRAPPING].map(|label| place.read(format!("tpm/{label}.sealed.json"))), before);
    place.ok(&["custody", "selftest"]);
    place.ok(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", "local-vault-witness"]);
    place.attest("b");
}

/// Another key that is one.
fn other_public(_: &str) -> String {
    use local_vault::custody::SigningKey as _;
    local_vault::custody::file::FileKey::from_seed([9; 32]).public_key().to_hex()
}

#[test]
fn no_seed_no_key_and_no_pin_is_told_however_much_is_asked() {
    let place = Place::with(&["relay", "source", "record", "wrapping"], "pin_file = \"pin\"\n");
    place.attest("a");
    // A TPM without a PIN tells others its secrets under the policy; this one is asked for the seed by its own means.
    let covered = Place::new(&["relay", "record", "wrapping"]);
    let [seed, sealed, stored] = covered.stolen(RELAY);
    let [wrapping, ..] = covered.stolen(super::place::WRAPPING);
    let commands: [&[&str]; 9] = [
        &["config", "check"],
        &["custody", "report", "--json"],
        &["custody", "selftest", "--json"],
        &["custody", "tpm", "status", "--json"],
        &["custody", "generate", "witness"],
        &["custody", "policy", "sign", "--policy-key", "policy.pem"],
        &["custody", "reseal", "--policy-key", "policy.pem", "--json"],
        &["custody", "tpm", "recover", "--recovery-key", "recovery.key", RELAY],
        &["spool", "rotate"],
    ];
    let read = |name: &str| String::from_utf8(place.read(name)).unwrap().trim().to_owned();
    let of_covered = |name: &str| String::from_utf8(covered.read(name)).unwrap().trim().to_owned();
    let texts = [
        read("pin"),
        read("recovery.key"),
        of_covered("recovery.key"),
        pem_body(&read("policy.pem")),
        pem_body(&of_covered("policy.pem")),
    ];
    let bytes = [seed, sealed, stored, wrapping];
    let is_clean = |what: &str, said: &[u8]| {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec());
        let forms = bytes.iter().flat_map(|secret| {
            [
                secret.clone(),
                hex::encode(secret).into_bytes(),
                format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec(),
            ]
        });
        for secret in texts.chain(forms) {
            assert!(!said.windows(secret.len()).any(|window| window == secret), "{what}");
        }
    };
    for place in [&place, &covered] {
        for words in commands {
            let done = place.run(&[&["--log", "trace"], words].concat());
            is_clean(&format!("{words:?}"), done.out.as_bytes());
            is_clean(&format!("{words:?}"), done.err.as_bytes());
        }
        let given = ["pin", "recovery.key", "policy.pem"].map(|name| place.path(name));
        for (path, content) in place.files("").into_iter().filter(|(path, _)| !given.contains(path)) {
            is_clean(path.to_str().unwrap(), &content);
        }
    }
}

#[test]
fn a_running_relay_shows_no_secret_on_its_command_line_and_in_its_environment() {
    let (place, _sandbox) = Place::with_sandbox();
    place.attest("a");
    let relay = Loop::start(&mut place.command(&["--log", "trace", "drain-loop", "--idle-sleep-seconds", "0.05"]));
    relay.until(|line| line.get("sent") == Some(&true.into()));
    let shown = ["cmdline", "environ"].map(|name| relay.file(name)).concat();
    let said = relay.end();
    let [seed, ..] = place.stolen(RELAY);
    for secret in [seed.clone(), hex::encode(&seed).into_bytes()] {
        for text in [shown.as_slice(), said.as_bytes()] {
            assert!(!text.windows(secret.len()).any(|window| window == secret));
        }
    }
}

fn pem_body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}
