//! What lies on disk and in the config file: read strictly, by us and by others, and refused clearly.

use std::fs;
use std::os::unix::fs::symlink;

use super::place::{ALL, Place, RELAY, SOURCE};
use super::process::Done;

#[test]
fn openssl_reads_the_file_of_a_resident_key() {
    let place = Place::new(&["source"]);
    place.for_tools("key.pem", &place.read(format!("tpm/{SOURCE}.pem")));
    place.tool_ok("openssl pkey -provider tpm2 -provider default -in key.pem -pubout -outform DER -out key.der");
    // SubjectPublicKeyInfo ends with the point.
    let der = place.of_tools("key.der");
    assert_eq!(hex::encode(&der[der.len() - 65..]), place.public_key("source"));
}

/// What `custody selftest` says of the source key once its file holds this.
#[track_caller]
fn source_is(place: &Place, content: &[u8], code: i32, why: &str) {
    let name = format!("tpm/{SOURCE}.pem");
    let before = place.read(&name);
    place.write(&name, content);
    let done = place.run(&["attest", "local-vault.toml"]);
    assert!(done.code == Some(code) && done.err.contains(why), "{why}: {done:?}");
    assert_eq!(place.read(&name), content);
    place.write(&name, before);
}

#[test]
fn a_bad_file_of_a_resident_key_is_told_of_and_left_as_it_is() {
    let place = Place::new(&ALL);
    place.attest("a");
    let pem = String::from_utf8(place.read(format!("tpm/{SOURCE}.pem"))).unwrap();
    let damaged = "is no key of a TPM: it is damaged, or no file of the kind \"TSS2 PRIVATE KEY\" (tpm: parse).\nIt was \
                   changed or damaged. Restore it; nothing was made anew.\n";
    for bad in
        ["", "garbage", &pem[..pem.len() / 2], &pem.replace("TSS2 PRIVATE", "PRIVATE"), &pem.replacen('M', "N", 1)]
    {
        source_is(&place, bad.as_bytes(), 65, damaged);
    }
    source_is(&place, &[0xff; 100_000], 65, damaged);
    // That of another key, of this TPM.
    let record = place.read("tpm/local-vault-record.pem");
    let expected = format!("Expected is the public key {}. Nothing was signed.\n", place.public_key("source"));
    source_is(&place, &record, 78, &expected);
    // A key of others under the same parent: whoever loads it uses it.
    place.tool_ok("tpm2_createprimary -C o -G ecc256:aes128cfb -c p.ctx -a fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt");
    place.tool_ok("tpm2_create -C p.ctx -G ecc:ecdsa-sha256 -u k.pub -r k.priv");
    place.tool_ok("tpm2_encodeobject --key-auth -C 0x40000001 -u k.pub -r k.priv -o k.pem");
    let theirs = place.of_tools("k.pem");
    source_is(&place, &theirs, 78, "is not the key that is expected");
    place.for_tools("key.pem", &theirs);
    place.tool_ok("openssl pkey -provider tpm2 -provider default -in key.pem -pubout -outform DER -out key.der");
    let der = place.of_tools("key.der");
    let (own, others) = (place.public_key("source"), hex::encode(&der[der.len() - 65..]));
    place.reconfigure(&own, &others);
    source_is(
        &place,
        &theirs,
        78,
        "can be used without its policy (userWithAuth) (tpm: find).\nMake one that is fit: local-vault custody generate\n",
    );
    place.reconfigure(&others, &own);
    place.attest("b");
}

/// The file with another letter in the midst of the private part.
fn another_byte(text: &str) -> String {
    let at = text.find("\"private\":\"").unwrap() + 100;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    [&text[..at], other, &text[at + 1..]].concat()
}

#[test]
fn a_bad_file_of_a_sealed_secret_is_told_of_and_left_as_it_is() {
    let place = Place::new(&ALL);
    let name = format!("tpm/{RELAY}.sealed.json");
    let text = String::from_utf8(place.read(&name)).unwrap();
    let unreadable = "does not read (tpm: read)";
    let cases = [
        (String::new(), 65, unreadable),
        ("garbage".into(), 65, unreadable),
        (text[..text.len() - 1].into(), 65, unreadable),
        (format!("{text}\n{text}"), 65, unreadable),
        (text.replace("\"version\":1", "\"version\":2"), 65, unreadable),
        (text.replace("{\"kind", "{\"extra\":1,\"kind"), 65, unreadable),
        (text.replace("0x01", "0x02"), 65, unreadable),
        (another_byte(&text), 65, "the TPM does not take this blob"),
        // The sealed secret of another label.
        (
            String::from_utf8(place.read("tpm/local-vault-wrapping.sealed.json")).unwrap(),
            78,
            "is not the one that is expected",
        ),
    ];
    for (bad, code, why) in cases {
        if bad == text {
            panic!("nothing was changed: {why}");
        }
        place.write(&name, &bad);
        let done = place.run(&["custody", "selftest", "--json"]);
        let told = done.out.lines().find(|line| line.contains("relay")).unwrap();
        assert!(told.contains(why) && done.code == Some(code), "{why}: {done:?}");
        assert_eq!(place.read(&name), bad.as_bytes());
    }
    place.write(&name, &text);
    place.ok(&["custody", "selftest"]);
}

#[test]
fn a_link_is_followed_where_it_leads_to_a_key_and_told_of_where_it_does_not() {
    let place = Place::new(&ALL);
    let (name, elsewhere) = (place.path(format!("tpm/{SOURCE}.pem")), place.path("elsewhere.pem"));
    fs::rename(&name, &elsewhere).unwrap();
    symlink(&elsewhere, &name).unwrap();
    place.attest("a");
    fs::remove_file(&elsewhere).unwrap();
    let missing = format!("cannot read {}: No such file or directory", name.display());
    place.try_attest("b").says(78, &missing);
    // A key is not made through it.
    let done = place.run(&["custody", "generate", "source"]);
    done.says(77, &format!("{} is there already", name.display()));
    assert!(!elsewhere.exists());
    // What never ends is not read for ever, and what is no file is told of.
    for (what, why) in [("/dev/zero", "is no key of a TPM"), ("/", "It is a folder.")] {
        fs::remove_file(&name).unwrap();
        symlink(what, &name).unwrap();
        let done = place.try_attest("b");
        assert!(done.code != Some(0) && done.err.contains(why), "{done:?}");
    }
}

#[test]
fn secrets_in_files_that_others_may_read_are_refused() {
    let place = Place::with(&ALL, "pin_file = \"pin\"\n");
    use std::os::unix::fs::PermissionsExt as _;
    let open = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    open("pin", 0o644);
    place.run(&["spool", "rotate"]).says(78, "pin");
    open("pin", 0o600);
    open("recovery.key", 0o640);
    place.run(&["custody", "tpm", "recover", "--recovery-key", "recovery.key", RELAY]).says(78, "recovery.key");
    open("policy.pem", 0o640);
    place.run(&["custody", "reseal", "--policy-key", "policy.pem"]).says(78, "policy.pem");
    // What is made is for its owner alone.
    for path in place.files("tpm").keys() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(fs::metadata(place.path("tpm")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_tcti_that_does_not_print_back_is_refused_with_its_line() {
    let place = Place::new(&["source"]);
    let tcti = place.proxy.tcti();
    for other in ["swtpm:path=/run/swtpm.sock", "swtpm", "swtpm:port=2321", "device", "tabrmd", "cmd:sh -c true", ""] {
        place.reconfigure(&tcti, other);
        let done = place.run(&["custody", "selftest"]);
        done.says(78, "custody.tpm.tcti");
        assert!(done.err.contains("a TCTI such as \"device:/dev/tpmrm0\", in full"), "{done:?}");
        place.reconfigure(&format!("tcti = \"{other}\""), &format!("tcti = \"{tcti}\""));
    }
}

#[test]
fn every_mistake_in_the_section_of_the_tpm_is_told_of_at_once() {
    let place = Place::new(&["source"]);
    let lines = "pcr = \"sha256:7\"\nparent = \"0x80000000\"\npcrs = \"sha256:24\"\napplication_pcr = 16\nfolder = 7\n";
    place.reconfigure("[custody.tpm]\n", &format!("[custody.tpm]\n{lines}"));
    place.reconfigure("parent_name = \"000b", "parent_name = \"000c");
    place.reconfigure("policy_key = \"04", "policy_key = \"05");
    place.reconfigure("recovery_key = \"", "recovery_key = \"0");
    let done = place.run(&["custody", "selftest"]);
    done.says(78, "Error: the configuration is refused:\n");
    for name in ["pcr", "parent", "pcrs", "application_pcr", "folder", "parent_name", "policy_key", "recovery_key"] {
        let line = if name == "pcr" {
            ": unknown key custody.tpm.pcr".into()
        } else {
            format!(": custody.tpm.{name} must be ")
        };
        assert!(done.err.lines().any(|told| told.contains(&line)), "{name}: {done:?}");
    }
}

#[test]
fn a_label_is_the_name_of_a_file_and_of_no_folder() {
    let place = Place::new(&[]);
    for label in ["a/b", "../a", "/a", ".a", "..", "a b", "ä"] {
        for key in ["relay", "source", "wrapping"] {
            let done = place.run(&["custody", "generate", key, "--label", label]);
            done.fails(
                78,
                &format!("{label:?} is no label for a key in a TPM (tpm: label)"),
                "It has 1 to 64 letters, digits, dots, dashes and underscores.",
            );
        }
        place.run(&["custody", "tpm", "evict", label, "--yes"]).says(78, "is no label for a key in a TPM");
    }
    assert_eq!(place.files("tpm").len(), 1);
    assert_eq!(place.tool_ok("tpm2_getcap handles-nv-index"), "");
}

#[test]
fn a_key_is_never_made_twice_and_the_second_try_leaves_nothing_behind() {
    let place = Place::new(&["relay", "source", "wrapping"]);
    let (before, indices) = (place.files("tpm"), place.tool_ok("tpm2_getcap handles-nv-index"));
    for (words, file) in [
        ("relay", "local-vault-relay.sealed.json"),
        ("source", "local-vault-source.pem"),
        ("wrapping", "local-vault-wrapping.sealed.json"),
        // Nor one of another kind under the same label.
        ("relay --label local-vault-source", "local-vault-source.pem"),
        ("source --label local-vault-relay", "local-vault-relay.sealed.json"),
        ("wrapping --label local-vault-relay", "local-vault-relay.sealed.json"),
        ("wrapping --label local-vault-source", "local-vault-source.pem"),
    ] {
        let words: Vec<&str> = ["custody", "generate"].into_iter().chain(words.split(' ')).collect();
        place.run(&words).fails(
            77,
            &format!("{} is there already (tpm: write)", place.path("tpm").join(file).display()),
            "Nothing was overwritten. Choose another name, or move it away.",
        );
    }
    assert_eq!((place.files("tpm"), place.tool_ok("tpm2_getcap handles-nv-index")), (before, indices));
}

#[test]
fn ten_at_once_make_one_key() {
    for key in ["relay", "source"] {
        let place = Place::new(&["wrapping"]);
        let make = |_| place.command(&["custody", "generate", key]).spawn().unwrap();
        let running: Vec<_> = (0..10).map(make).collect();
        let done: Vec<Done> = running.into_iter().map(|child| Done::from(child.wait_with_output().unwrap())).collect();
        let made: Vec<&Done> = done.iter().filter(|done| done.code == Some(0)).collect();
        assert_eq!(made.len(), 1, "{done:?}");
        done.iter().filter(|done| done.code != Some(0)).for_each(|done| done.says(77, "is there already (tpm: write)"));
        place.write("local-vault.toml", place.config() + &made[0].out);
        place.ok(&["custody", "selftest"]);
        let indices = place.tool_ok("tpm2_getcap handles-nv-index").lines().count();
        assert_eq!(indices, 1 + usize::from(key == "relay"));
        assert_eq!(place.other_halves(), Vec::<String>::new());
    }
}
