use std::fs;

use super::super::vault::Vault;
use super::{first_file, lines};

#[test]
fn an_export_is_the_file_byte_for_byte() {
    let vault = Vault::with_an_event();
    assert_eq!(vault.ok(&["audit", "export"]), fs::read_to_string(first_file(&vault)).unwrap());
    assert_eq!(vault.ok(&["audit", "export", "--since", "1h"]), fs::read_to_string(first_file(&vault)).unwrap());
    assert_eq!(vault.ok(&["audit", "export", "--until", "1h"]), "");
}

#[test]
fn a_syslog_server_gets_one_message_an_entry() {
    let vault = Vault::with_an_event();
    let exported = vault.ok(&["audit", "export", "--format", "syslog"]);
    assert_eq!(exported, vault.ok(&["audit", "show", "--format", "syslog"]));
    let messages: Vec<&str> = exported.lines().collect();
    let lines = lines(&vault);
    assert_eq!(messages.len(), lines.len());
    for (message, line) in messages.iter().zip(&lines) {
        let (head, text) = message.split_once("] {").unwrap();
        assert!(head.contains(" local-vault ") && head.contains(" [audit@32473 seq=\""), "{message}");
        assert!(line.starts_with(&format!("{{\"entry\":{{{text},")), "{message}\n{line}");
    }
    assert!(messages[0].starts_with("<109>1 ") && messages[0].contains(" LogBegun "), "{}", messages[0]);
}

#[test]
fn what_is_for_people_is_no_export() {
    assert_eq!(Vault::with_an_event().run(&["audit", "export", "--format", "text"]).code, Some(64));
}
