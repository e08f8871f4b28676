use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use local_vault::facts::Digest;
use local_vault::protocol::json::{Object, Value};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::vault::{Done, STREAM, Vault, names, trusted};

fn texts(objects: &[Object], member: &str) -> Vec<String> {
    objects.iter().map(|object| object.get_str(member).unwrap().to_owned()).collect()
}

fn known(objects: &[Object]) -> Vec<Option<bool>> {
    objects.iter().map(|object| object.get("known").and_then(Value::as_bool)).collect()
}

#[test]
fn a_file_is_attested_under_its_path_and_hash() {
    let vault = Vault::new();
    vault.write("a.txt", "alpha");
    let lines = vault.json(&["attest", "a.txt", "--json"]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(names(line), ["eventId", "known", "path", "payloadHash", "sourceRef", "status"]);
    let hash = Digest::of(b"alpha").to_string();
    let expected = ["a.txt", hash.as_str(), &format!("a.txt@{}", &hash[..16]), "queued"];
    assert_eq!(["path", "payloadHash", "sourceRef", "status"].map(|name| line.get_str(name).unwrap()), expected);
    let event = &vault.json(&["spool", "list", "--json"])[0];
    assert_eq!(event.get_str("streamId"), Some(STREAM));
}

#[test]
fn a_folder_is_attested_in_the_order_of_its_names() {
    let vault = Vault::new();
    for name in ["d/b", "d/a/z", "d/c", "d/B"] {
        vault.write(name, name);
    }
    let lines = vault.json(&["attest", "d", "--json"]);
    assert_eq!(texts(&lines, "path"), ["d/B", "d/a/z", "d/b", "d/c"]);
}

#[test]
fn a_thousand_small_files_are_attested_at_once_and_in_order() {
    let vault = Vault::new();
    for n in 0..1000 {
        vault.write(format!("many/{n:04}"), n.to_string());
    }
    assert_eq!(vault.ok(&["attest", "many"]), "attested 1000 new, 0 known before\n");
    assert_eq!(vault.ok(&["attest", "many"]), "attested 0 new, 1000 known before\n");
    let spooled = texts(&vault.json(&["spool", "list", "--limit", "1000", "--json"]), "sourceRef");
    assert_eq!(spooled.len(), 1000);
    assert!(spooled.is_sorted());
}

#[test]
fn a_file_that_is_refused_is_named_and_keeps_no_other_back() {
    let vault = Vault::new();
    for name in ["mix/a", "mix/b", "mix/c"] {
        vault.write(name, name);
    }
    vault.ok(&["attest", "mix/b", "--stream-id", "another"]);
    let refused = vault.run(&["attest", "mix"]);
    assert_eq!(refused.code, Some(65));
    assert!(refused.err.starts_with("Error: mix/b: the source_ref is in use in another stream"), "{refused:?}");
    let spooled = texts(&vault.json(&["spool", "list", "--json"]), "sourceRef");
    assert_eq!(spooled.len(), 3);
    assert!(spooled[1].starts_with("mix/a@") && spooled[2].starts_with("mix/c@"));
}

#[test]
fn the_same_file_again_is_the_same_event_and_nothing_is_signed() {
    let vault = Vault::new();
    vault.write("a.txt", "alpha");
    let first = vault.json(&["attest", "a.txt", "--json"]);
    let show = ["spool", "show", &texts(&first, "eventId")[0], "--payload", "--json"];
    let signed = vault.json(&show);
    let again = vault.json(&["attest", "a.txt", "--json"]);
    assert_eq!((known(&first), known(&again)), (vec![Some(false)], vec![Some(true)]));
    assert_eq!(texts(&first, "eventId"), texts(&again, "eventId"));
    assert_eq!(vault.json(&show), signed);
}

#[test]
fn an_edited_file_is_a_new_event() {
    let vault = Vault::new();
    vault.write("a.txt", "alpha");
    let first = vault.json(&["attest", "a.txt", "--json"]);
    vault.write("a.txt", "beta");
    let second = vault.json(&["attest", "a.txt", "--json"]);
    assert_eq!(known(&second), [Some(false)]);
    assert_ne!(texts(&first, "eventId"), texts(&second, "eventId"));
}

#[test]
fn a_file_that_is_named_twice_is_attested_once() {
    let vault = Vault::new();
    vault.write("d/a", "alpha");
    let lines = vault.json(&["attest", "d", "d/a", "d/a", "--json"]);
    assert_eq!(texts(&lines, "path"), ["d/a"]);
}

#[test]
fn an_empty_folder_is_nothing_new() {
    let vault = Vault::new();
    fs::create_dir(vault.path("d")).unwrap();
    assert_eq!(vault.ok(&["attest", "d"]), "attested 0 new, 0 known before\n");
}

#[test]
fn links_and_pipes_in_a_folder_are_passed_over_and_counted() {
    let vault = Vault::new();
    vault.write("d/a", "alpha");
    symlink("a", vault.path("d/link")).unwrap();
    symlink(".", vault.path("d/loop")).unwrap();
    fifo(&vault, "d/pipe");
    let done = vault.run(&["attest", "d"]);
    assert_eq!(done.err, "Passed over 3 in folders: links, pipes, sockets or devices.\n");
    assert_eq!(done.ok(), "attested 1 new, 0 known before\n");
}

#[test]
fn a_link_that_is_named_is_followed() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    symlink("a", vault.path("link")).unwrap();
    assert_eq!(texts(&vault.json(&["attest", "link", "--json"]), "path"), ["link"]);
    symlink("nothing", vault.path("dangling")).unwrap();
    vault.run(&["attest", "dangling"]).fails(
        74,
        &[
            "Error: cannot read dangling: No such file or directory (os error 2).",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let vault = Vault::new();
    fifo(&vault, "pipe");
    vault.run(&["attest", "pipe"]).fails(
        74,
        &[
            "Error: cannot read pipe: not a file and not a folder.",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
}

#[test]
fn an_unreadable_file_ends_the_command_and_names_it() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything, apart from what the kernel itself refuses.
        let refused = Vault::new().run(&["attest", "/proc/self/mem"]);
        assert_eq!(refused.code, Some(74), "{refused:?}");
        assert!(refused.err.starts_with("Error: cannot read /proc/self/mem: "));
        return;
    }
    let vault = Vault::new();
    vault.write("a.txt", "alpha");
    fs::set_permissions(vault.path("a.txt"), Permissions::from_mode(0o000)).unwrap();
    vault.run(&["attest", "a.txt"]).fails(
        74,
        &[
            "Error: cannot read a.txt: Permission denied (os error 13).",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
}

#[test]
fn a_path_that_makes_too_long_a_reference_is_refused() {
    let vault = Vault::new();
    let long = vec!["x".repeat(200); 6].join("/");
    vault.write(&long, "alpha");
    vault
        .run(&["attest", &long])
        .fails(64, &[&format!("Error: {long}: source_ref is longer than 1,024 bytes."), "Give a shorter path."]);
}

#[test]
fn a_name_that_is_not_text_is_refused_and_shown_escaped() {
    let vault = Vault::new();
    vault.write("d/a", "alpha");
    fs::write(vault.path("d").join(OsStr::from_bytes(b"\xff\x1b[2J")), "beta").unwrap();
    vault
        .run(&["attest", "d"])
        .fails(64, &["Error: d/\u{fffd}\\u{1b}[2J is not UTF-8.", "A source_ref is text; rename the file."]);
}

#[test]
fn a_stream_is_asked_for_and_an_empty_one_is_refused() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    vault
        .run(&["attest", "a", "--stream-id", ""])
        .fails(64, &["Error: stream_id is empty.", "Ids have 1 to 1,024 bytes."]);
    let long = "x".repeat(1025);
    vault
        .run(&["attest", "a", "--stream-id", &long])
        .fails(64, &["Error: stream_id is longer than 1,024 bytes.", "Ids have 1 to 1,024 bytes."]);
    vault.reconfigure("installation.stream_id = \"str_1\"", "");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            "Error: ATTESTO_LOCAL_VAULT_STREAM_ID is required: no stream is configured.",
            "Set it, or installation.stream_id in the config file.",
        ],
    );
}

#[test]
fn a_p256_key_attests_and_its_signature_verifies() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out source.key");
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    vault.write("r.jsonl", vault.ok(&["receipt", "show", "--all", "--json", "--payload"]));
    let report = vault.json(&["custody", "report", "--json"]);
    let keys = report[0].get("keys").and_then(Value::as_array).unwrap().iter().filter_map(Value::as_object);
    let source = keys.into_iter().find(|key| key.get_str("purpose") == Some("source")).unwrap();
    assert_eq!(source.get_str("algorithm"), Some("ES256"));
    let source = format!("source={}", source.get_str("publicKeyHex").unwrap());
    let verify =
        |source: &str| vault.run(&["verify", "r.jsonl", "--public-key", &trusted("relay"), "--public-key", source]);
    assert!(verify(&source).ok().ends_with("1 verified\n"));
    assert_eq!(verify(&trusted("source")).code, Some(65));
}

#[test]
fn a_p256_key_for_the_relay_is_refused() {
    let vault = Vault::new();
    vault.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out relay.key");
    vault.write("a", "alpha");
    vault.run(&["attest", "a"]).fails(
        78,
        &[
            "Error: the relay key is ES256, but its contract is Ed25519 only (custody: bind).",
            "Use an Ed25519 key for relay and witness; P-256 serves source attestations.",
        ],
    );
}

#[test]
fn no_progress_bar_is_drawn_where_nobody_looks() {
    let vault = Vault::new();
    vault.write("a", "alpha");
    let done = vault.run(&["attest", "a"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
}

#[test]
fn two_commands_at_once_attest_each_file_once() {
    let vault = Vault::new();
    for n in 0..50 {
        vault.write(format!("many/{n:04}"), n.to_string());
    }
    let start = || vault.command(&["attest", "many", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let children = [start(), start()];
    let done = children.map(|child| Done::from(child.wait_with_output().unwrap()).ok());
    let [a, b] = done.map(|out| super::vault::objects(&out));
    assert_eq!(texts(&a, "eventId"), texts(&b, "eventId"));
    let new = known(&a).into_iter().chain(known(&b)).filter(|known| *known == Some(false)).count();
    assert_eq!(new, 50);
}

fn fifo(vault: &Vault, name: &str) {
    mknodat(CWD, vault.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}
