use std::process::{Command, Stdio};

use super::vault::{Done, Vault};

const COMMANDS: [&str; 53] = [
    "attest",
    "audit export",
    "audit follow",
    "audit head",
    "audit prune",
    "audit recover",
    "audit show",
    "audit verify",
    "completions",
    "config check",
    "config example",
    "custody report",
    "drain-loop",
    "drain-once",
    "enqueue-json",
    "generate-encryption-key",
    "generate-signing-key",
    "metrics",
    "quorum verify",
    "receipt show",
    "relay drain",
    "relay pause",
    "relay resume",
    "relay revoke",
    "relay status",
    "relay test",
    "spool dead-letters",
    "spool export",
    "spool import",
    "spool list",
    "spool purge",
    "spool release",
    "spool retry",
    "spool rotate",
    "spool show",
    "spool stats",
    "spool verify",
    "verify",
    "witness checkpoint",
    "witness counts",
    "witness export",
    "witness follow",
    "witness forks",
    "witness reconcile",
    "witness rotate",
    "witness show",
    "witness status",
    "witness stream add",
    "witness stream list",
    "witness stream reoriginate",
    "witness verify",
    "witness-checkpoint",
    "witness-counts",
];

#[test]
fn every_command_has_help() {
    let vault = Vault::new();
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(Done::of(&mut vault.without_config(&words)).ok().contains("Usage: local-vault"), "{command}");
    }
}

#[test]
fn every_command_and_every_group_has_examples() {
    let vault = Vault::new();
    for command in COMMANDS.into_iter().chain([
        "audit",
        "config",
        "custody",
        "quorum",
        "receipt",
        "relay",
        "spool",
        "witness",
        "witness stream",
    ]) {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = Done::of(&mut vault.without_config(&words)).ok();
        let (_, examples) = help.split_once("\nExample").unwrap_or_else(|| panic!("{command}: {help}"));
        assert!(examples.contains("local-vault "), "{command}: {help}");
    }
}

#[test]
fn an_empty_variable_counts_as_none() {
    let vault = Vault::new();
    for variable in ["LOG", "LOG_FORMAT"] {
        let with = |value: &str| {
            let mut command = vault.without_config(&["config", "example"]);
            Done::of(command.env(format!("ATTESTO_LOCAL_VAULT_{variable}"), value)).code
        };
        assert_eq!((with(""), with("bogus")), (Some(0), Some(64)), "{variable}");
    }
}

#[test]
fn a_published_command_is_told_from_what_flags_are_given() {
    let vault = Vault::new();
    // Neither has what it needs: 1 and 78 tell which kind of command it was.
    let code = |words: &[&str]| Done::of(&mut vault.without_config(words)).code;
    assert_eq!(code(&["--witness-db", "attest", "drain-once"]), Some(1));
    assert_eq!(code(&["--witness-db", "drain-once", "attest", "a"]), Some(78));
}

#[test]
fn usage_is_64_and_2_where_a_published_command_was_meant() {
    let code = |words: &[&str]| Done::of(&mut Vault::new().without_config(words)).code;
    assert_eq!(code(&[]), Some(64));
    assert_eq!(code(&["bogus"]), Some(64));
    assert_eq!(code(&["spool"]), Some(64));
    assert_eq!(code(&["spool", "show", "lv_1"]), Some(64));
    assert_eq!(code(&["attest", "--bogus", "drain-once"]), Some(64));
    assert_eq!(code(&["drain-loop", "--bogus"]), Some(2));
    assert_eq!(code(&["--spool-db", "x", "enqueue-json"]), Some(2));
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn completions_parse_in_the_shells_that_are_here() {
    let vault = Vault::new();
    for shell in ["bash", "zsh", "fish"] {
        vault.write(shell, Done::of(&mut vault.without_config(&["completions", shell])).ok());
        match Command::new(shell).arg("-n").arg(vault.path(shell)).output() {
            Ok(parsed) => assert!(parsed.status.success(), "{shell}: {}", String::from_utf8_lossy(&parsed.stderr)),
            Err(_) => eprintln!("SKIPPED: {shell} is not here to parse its completions"),
        }
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_in_silence_and_not_as_a_success() {
    let vault = Vault::new();
    let child = vault.command(&["config", "example"]).stdout(pipe_that_nobody_reads()).stderr(Stdio::piped()).spawn();
    let done = Done::from(child.unwrap().wait_with_output().unwrap());
    done.fails(74, &[]);
}

/// The writing end of a pipe whose reading end is closed.
fn pipe_that_nobody_reads() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}
