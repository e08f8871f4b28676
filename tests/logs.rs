//! The list of log lines in `docs/logs.md` is the list of log lines in the source: none is missing, none too many, and
//! each has the level and the fields that it is said to have.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "logs/macros.rs"]
mod macros;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use macros::{Line, lines_of, unqualified};

/// What is known of a message: its levels and its fields.
type Listed = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

#[test]
fn every_line_from_info_on_is_documented_and_nothing_else_is() {
    let mut written = Listed::new();
    for (name, text) in sources() {
        for line in lines_of(&text).unwrap_or_else(|why| panic!("src/{name}: {why}")) {
            let Line { level, message, fields } = line;
            if ["info", "warn", "error"].contains(&level.as_str()) {
                let (levels, all) = written.entry(message).or_default();
                levels.insert(level);
                all.extend(fields);
            }
        }
    }
    assert_eq!(written, documented());
}

#[test]
fn a_macro_of_the_log_is_always_named_in_full_so_that_it_is_found() {
    let hidden: Vec<_> = sources().into_iter().filter(|(_, text)| unqualified(text)).map(|(name, _)| name).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// No field holds what the log must not show from info on.
#[test]
fn no_line_from_info_on_has_a_field_for_what_it_must_not_show() {
    let forbidden = ["key", "label", "stream", "source_ref", "payload", "pin_file", "secret"];
    for (message, (_, fields)) in documented() {
        assert!(!fields.iter().any(|field| forbidden.contains(&field.as_str())), "{message}: {fields:?}");
    }
}

/// The rows of the table.
fn documented() -> Listed {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md")).unwrap();
    let (_, table) = text.split_once("| message | level | fields |").unwrap();
    let mut listed = Listed::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, levels, fields, meaning, remedy] = cells[..] else { panic!("five cells: {row}") };
        assert!(!meaning.is_empty() && !remedy.is_empty(), "{row}");
        let words = |cell: &str| cell.split(", ").filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let twice = listed.insert(message.to_owned(), (words(levels), words(fields)));
        assert!(twice.is_none(), "twice: {row}");
    }
    assert!(listed.len() > 10, "the table was not found");
    listed
}

/// Every source file: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}
