use std::fs;

use local_vault::protocol::json::Value;

use super::super::vault::{Done, Vault, names, public_key};
use super::{FOLDER, copy, entries, first_file, flip, kind, lines, number, verified};

const ADVICE: &str = "Find out who or what did that: nothing behind it was looked at. Keep the folder as it is; once you \
                      know why, `local-vault audit recover --reason TEXT` puts it aside and begins a new log.";

#[test]
fn a_log_verifies_with_the_record_key_of_the_configuration() {
    let vault = Vault::with_an_event();
    let entries = entries(&vault);
    let told = verified(&vault);
    assert_eq!(number(&told, "first"), 1);
    assert_eq!(number(&told, "last"), entries.len() as i64);
    assert_eq!(number(&told, "signedSeq"), entries.len() as i64 - 1);
    assert_eq!(number(&told, "unsigned"), 1);
    assert_eq!(number(&told, "heads"), entries.iter().filter(|entry| kind(entry) == "HeadSigned").count() as i64);
    assert_eq!(told.get("keysAreBelieved"), Some(&false.into()));
    let head = vault.ok(&["audit", "head"]);
    assert_eq!(
        head.trim_end(),
        format!("{}:{}:{}", told.get_str("logId").unwrap(), entries.len(), told.get_str("hash").unwrap())
    );
    let text = vault.run(&["audit", "verify"]);
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""));
    assert!(text.out.contains(&format!("\nentries    {0}, from 1 to {0}\n", entries.len())), "{}", text.out);
}

#[test]
fn the_first_changed_entry_is_named_with_its_file_and_line() {
    let vault = Vault::with_an_event();
    flip(&vault, 6);
    flip(&vault, 5);
    let error = format!(
        "Error: the audit log was changed: entry 5, {}:5: its hash does not follow on the entry before it.",
        first_file(&vault).display()
    );
    vault.run(&["audit", "verify"]).fails(65, &[&error, ADVICE]);
    let told = vault.run(&["audit", "verify", "--json"]);
    let object = &super::objects(&told.out)[0];
    assert_eq!(names(object), ["line", "path", "seq", "verified", "what"]);
    assert_eq!((told.code, number(object, "seq"), number(object, "line")), (Some(65), 5, 5));
}

#[test]
fn a_line_that_is_gone_from_the_end_is_missed() {
    let vault = Vault::with_an_event();
    let lines = lines(&vault);
    fs::write(first_file(&vault), lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let done = vault.run(&["audit", "verify"]);
    let what = format!("the log ends here, and had come to entry {}.", lines.len());
    assert!(done.code == Some(65) && done.err.contains(&what), "{done:?}");
}

#[test]
fn a_copy_verifies_without_any_configuration() {
    let vault = Vault::with_an_event();
    copy(vault.path(FOLDER), vault.path("copy"));
    let key = verified(&vault).get("keys").and_then(Value::as_array).unwrap()[0].as_str().unwrap().to_owned();
    let verify =
        |more: &[&str]| Done::of(&mut vault.without_config(&[&["audit", "verify", "--path", "copy"], more].concat()));
    let believed = verify(&[]);
    assert_eq!(believed.code, Some(0));
    assert!(believed.out.contains(&format!("\nkey        {key}\n")), "{believed:?}");
    assert!(believed.err.starts_with("No key is known to be trusted"), "{believed:?}");
    let trusted = verify(&["--public-key", &public_key("relay"), "--public-key", &key]);
    assert_eq!((trusted.code, trusted.err.as_str()), (Some(0), ""));
    let other = verify(&["--public-key", &public_key("relay")]);
    assert!(other.code == Some(65) && other.err.contains("a key that is not trusted"), "{other:?}");
}

#[test]
fn a_head_that_was_noted_down_is_compared() {
    let vault = Vault::with_an_event();
    let head = vault.ok(&["audit", "head"]).trim_end().to_owned();
    vault.ok(&["spool", "rotate"]);
    let held = vault.json(&["audit", "verify", "--json", "--head", &head, "--head", &format!("audit:{head}")]);
    assert_eq!(number(&held[0], "heldByOthers"), 1);
    let (log, hash) = head.rsplit_once(':').unwrap();
    let other = vault.run(&["audit", "verify", "--head", &format!("{log}:{}", hash.replace(['0', '1'], "2"))]);
    assert!(
        other.code == Some(65) && other.err.contains("somebody else holds a head that is another one"),
        "{other:?}"
    );
    let foreign = vault.run(&["audit", "verify", "--head", &format!("log_other:1:{hash}")]);
    assert!(foreign.code == Some(65) && foreign.err.contains("somebody else holds heads of log_other"), "{foreign:?}");
    assert_eq!(vault.run(&["audit", "verify", "--head", "17"]).code, Some(64));
}

#[test]
fn where_there_never_was_a_log_is_78_and_nothing_is_made() {
    let vault = Vault::new();
    for words in [["verify"].as_slice(), &["show"], &["follow"], &["export"], &["head"], &["recover", "--reason", "x"]]
    {
        let done = vault.run(&[&["audit"], words].concat());
        assert!(done.code == Some(78) && done.err.contains("there is no audit log in"), "{words:?} {done:?}");
    }
    assert!(!vault.path(FOLDER).exists());
}

#[test]
fn a_log_that_is_gone_as_a_whole_is_65() {
    let vault = Vault::with_an_event();
    let log_id = verified(&vault).get_str("logId").unwrap().to_owned();
    fs::remove_dir_all(vault.path(FOLDER)).unwrap();
    for words in [["verify"].as_slice(), &["show"], &["head"]] {
        let done = vault.run(&[&["audit"], words].concat());
        assert!(done.code == Some(65) && done.err.contains(&format!("all of {log_id} is gone")), "{done:?}");
    }
}

#[test]
fn a_log_that_cannot_be_read_is_74_and_nobody_is_accused() {
    let vault = Vault::new();
    vault.write("file", "no folder");
    let done = vault.run(&["audit", "verify", "--path", "file"]);
    assert_eq!(done.code, Some(74), "{done:?}");
    assert!(done.err.contains("which says nothing about whether anybody changed it"), "{done:?}");
}

#[test]
fn entries_are_shown_by_kind_by_time_and_from_the_end() {
    let vault = Vault::with_an_event();
    vault.ok(&["spool", "rotate"]);
    let show = |more: &[&str]| vault.ok(&[&["audit", "show"], more].concat());
    let commands = show(&["--kind", "CommandBegun", "--kind", "CommandEnded"]);
    let told: Vec<&str> = commands.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(told, ["CommandBegun", "CommandEnded", "CommandBegun", "CommandEnded"]);
    assert!(commands.contains(" command=attest ") && commands.contains(" command=\"spool rotate\" "), "{commands}");
    assert!(!commands.contains("null"), "{commands}");
    assert_eq!(show(&["--kind", "CommandEnded", "--last", "1"]), format!("{}\n", commands.lines().last().unwrap()));
    assert_eq!(show(&["--last", "0"]), "");
    assert_eq!(show(&["--last", "1000"]), show(&[]));
    assert_eq!(show(&["--since", "1w"]), show(&[]));
    assert_eq!(show(&["--since", "9999-01-01T00:00:00Z"]), "");
    assert_eq!(vault.run(&["audit", "show", "--since", "yesterday"]).code, Some(64));
}
