//! The list of entries in `docs/audit.md` is the list of entries in the source: none is missing, none too many, and each
//! matters as much as it is said to.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use local_vault::audit::{KINDS, Severity, severity};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table: kinds, members, how much it matters, whether it is privileged. A row without a kind goes on
/// about the one above it.
fn documented() -> Vec<[String; 4]> {
    let text = read("docs/audit.md");
    let (_, table) = text.split_once("| kind | members |").unwrap();
    let mut rows: Vec<[String; 4]> = Vec::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kind, members, matters, privileged, meaning] = cells[..] else { panic!("five cells: {row}") };
        assert!(!meaning.is_empty(), "{row}");
        let kind = kind.trim_matches('`');
        let kind = if kind.is_empty() { rows.last().unwrap()[0].clone() } else { kind.to_owned() };
        rows.push([kind, members.to_owned(), matters.to_owned(), privileged.to_owned()]);
    }
    assert!(rows.len() > 20, "the table was not found");
    rows
}

/// The texts in quotes of a source file.
fn quoted(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn is_kind(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[test]
fn every_kind_is_documented_and_no_other_is() {
    let code = read("src/audit/event.rs");
    let made: BTreeSet<&str> = quoted(&code).filter(|text| is_kind(text)).collect();
    let rows = documented();
    let listed: BTreeSet<&str> = rows.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(made, listed);
    assert_eq!(BTreeSet::from(KINDS), listed);
}

#[test]
fn each_matters_as_much_as_it_is_said_to() {
    for [kind, _, matters, _] in documented() {
        let said = match severity(&kind) {
            Severity::Info => "info",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Alert => "alert",
        };
        assert_eq!(matters, said, "{kind}");
    }
}

/// Kinds that a constructor chooses between, and how it makes them.
const CHOSEN: [(&str, &str); 4] =
    [("CommandEnded", "routine"), ("CommandFailed", "routine"), ("KeyFailed", "routine"), ("PinRefused", "routine")];

#[test]
fn each_is_privileged_where_the_table_says_so() {
    let code = read("src/audit/event.rs");
    // Kinds that the log itself reads have a name.
    let name = |kind: &str| {
        let line = code.lines().find(|line| line.contains(&format!(": &str = \"{kind}\";")));
        line.and_then(|line| line.split_whitespace().find(|word| word.ends_with(':')).map(|word| word.replace(':', "")))
    };
    let is_made = |how: &str, kind: &str| {
        if let Some((_, chosen)) = CHOSEN.iter().find(|(chosen, _)| *chosen == kind) {
            return *chosen == how;
        }
        let by_name = name(kind).is_some_and(|name| code.contains(&format!("Self::{how}({name})")));
        by_name || code.contains(&format!("Self::{how}(\"{kind}\")"))
    };
    for [kind, _, _, privileged] in documented() {
        let how = match privileged.as_str() {
            "yes" => "privileged",
            "no" if kind == "HeadSigned" => continue, // is made of a head
            "no" => "routine",
            other => panic!("{kind}: {other}"),
        };
        assert!(is_made(how, &kind), "{kind} is not {how}");
    }
}

#[test]
fn every_member_is_documented() {
    let rows = documented();
    let members: BTreeSet<&str> =
        rows.iter().flat_map(|[_, members, ..]| members.split('`').skip(1).step_by(2)).collect();
    for file in ["src/audit/event.rs", "src/protocol/audit/head.rs"] {
        let code = read(file);
        let set = code.split(".with(\"").skip(1).filter_map(|rest| rest.split('"').next());
        for member in set.filter(|member| !["kind", "seq", "time", "pid"].contains(member)) {
            assert!(members.contains(member), "{file}: {member}");
        }
    }
}
