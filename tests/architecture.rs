//! The house: which room lies in which layer, and who may import whom. Reads the source; an arrow that points up is a
//! failed test. `docs/architecture.md` tells why.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "architecture/source.rs"]
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::{code_of, imports, names};

/// A module of the library. It imports from the layers below, and from its own layer what is named here.
struct Room {
    name: &'static str,
    layer: u8,
    beside: &'static [&'static str],
}

const fn room(name: &'static str, layer: u8, beside: &'static [&'static str]) -> Room {
    Room { name, layer, beside }
}

const HOUSE: [Room; 14] = [
    // 5 shell: everything, and the only place with exit codes
    room("cli", 5, &["config"]),
    room("config", 5, &[]),
    // 4 services: are handed what they need; never import one another
    room("ingest", 4, &[]),
    room("relay", 4, &[]),
    room("sandbox", 4, &[]),
    room("witness", 4, &[]),
    // 3 durable, and how the services are asked
    room("spool", 3, &["epochs", "store"]),
    room("audit", 3, &[]),
    room("http", 3, &["store"]),
    room("epochs", 3, &["store"]),
    room("store", 3, &[]),
    // 2 custody
    room("custody", 2, &[]),
    // 1 protocol
    room("protocol", 1, &[]),
    // 0 facts
    room("facts", 0, &[]),
];

/// The receiver has a binary of its own, so that the production binary cannot forge receipts.
const SANDBOX_BINARY: &str = "bin/local-vault-sandbox.rs";

/// What stands in front of a file that is for tests alone, whether it says so itself or its parent does.
const TEST_FILE: &str = "#![cfg(test)]\n";

/// The backends of custody. Above it only the shell names them.
const BACKENDS: [&str; 3] = ["file", "pkcs11", "tpm"];

/// Libraries of devices, whose types stay in the folder of their backend.
const FOREIGN: [&str; 2] = ["cryptoki", "tss_esapi"];

/// The one file that writes to standard output and standard error.
const OUTPUT: &str = "cli/output.rs";

#[test]
fn every_arrow_points_down() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        found.extend(violations(&name, &text));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_is_there_and_declared_at_the_top() {
    let code = code_of(&fs::read_to_string(root().join("lib.rs")).unwrap());
    let mut declared: Vec<&str> = code.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut rooms: Vec<&str> = HOUSE.iter().map(|room| room.name).collect();
    declared.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(declared, rooms);
}

/// What is wrong with the file at `name`, a path below `src`.
fn violations(name: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let stem = name.trim_end_matches(".rs");
    let module: Vec<&str> = stem.split('/').collect();
    let on_top = name == "lib.rs" || name == "main.rs" || name.starts_with("bin/");
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("src/{name}: {what}"));

    let home = HOUSE.iter().find(|room| room.name == module[0]);
    if home.is_none() && !on_top {
        say(format!("the module {} has no row in the table", module[0]));
    }
    for path in imports(&code, &module, is_room) {
        let Some(there) = HOUSE.iter().find(|room| path.first() == Some(&room.name.to_owned())) else {
            say(format!("{} has no row in the table", path.join("::")));
            continue;
        };
        if there.name == "sandbox" && module[0] != "sandbox" && name != SANDBOX_BINARY {
            say("names the sandbox, which only its own binary does".into());
        }
        let Some(home) = home.filter(|home| home.name != there.name) else { continue };
        if there.layer >= home.layer && !home.beside.contains(&there.name) {
            say(format!("{} (layer {}) imports {} (layer {})", home.name, home.layer, there.name, there.layer));
        }
    }
    if home.is_some_and(|home| home.layer < 5 && home.name != "custody") {
        let imported = imports(shipped(&code), &module, is_room);
        let imports = |backend: &str| imported.iter().any(|path| path.starts_with(&["custody".into(), backend.into()]));
        for backend in BACKENDS.into_iter().filter(|backend| imports(backend)) {
            say(format!("names a backend, custody::{backend}"));
        }
    }
    if !(module[0] == "custody" && module.get(1).is_some_and(|room| BACKENDS.contains(room))) {
        let foreign = FOREIGN.into_iter().filter(|name| names(&code, name));
        foreign.for_each(|name| say(format!("names {name} outside its backend's folder")));
    }
    let prints = ["println!", "eprintln!", "print!", "eprint!", "process::exit"];
    if name != OUTPUT && !on_top {
        for word in prints.into_iter().filter(|word| names(&code, word)) {
            say(format!("{word} outside the shell's output"));
        }
    }
    found.dedup();
    found
}

/// Code without its tests, which stand last: these need a key from somewhere.
fn shipped(code: &str) -> &str {
    if code.starts_with(TEST_FILE) { "" } else { code.split("#[cfg(test)]\nmod tests").next().unwrap_or(code) }
}

fn is_room(name: &str) -> bool {
    HOUSE.iter().any(|room| room.name == name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file: its path below `src`, and its text.
fn sources() -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > HOUSE.len(), "the sources were not found");
    for at in 0..files.len() {
        let folder = files[at].0.trim_end_matches(".rs").to_owned();
        for name in test_modules(&files[at].1).map(|name| format!("{folder}/{name}.rs")).collect::<Vec<_>>() {
            let (_, text) = files.iter_mut().find(|(file, _)| *file == name).unwrap();
            text.insert_str(0, TEST_FILE);
        }
    }
    files
}

/// The modules with a file of their own that a file declares for tests alone.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once(';'));
    declared.map(|(name, _)| name).filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// What the check says, so that it is known to bite.
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, text: &str, what: &str) {
        let found = violations(name, text);
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
    }

    #[track_caller]
    fn allowed(name: &str, text: &str) {
        assert_eq!(violations(name, text), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_is_refused_in_every_spelling() {
        refused("facts/clock.rs", "use crate::store::StoreError;", "facts (layer 0) imports store (layer 3)");
        refused("spool/open.rs", "use crate::{facts::Digest, relay::{Drain, Step}};\n", "imports relay");
        refused("spool/open.rs", "fn f() { crate::ingest::hash_file() }", "imports ingest");
        refused("spool/open.rs", "use super::super::witness::Witness;", "imports witness");
        refused("spool.rs", "use super::cli::main as start;", "imports cli");
        refused("store.rs", "use crate::spool::Spool;", "store (layer 3) imports spool (layer 3)");
    }

    #[test]
    fn services_and_the_durable_stay_apart() {
        refused("relay/drain.rs", "use crate::ingest::Ingest;", "relay (layer 4) imports ingest (layer 4)");
        refused("epochs.rs", "use crate::spool::Spool;", "imports spool");
        refused("ingest.rs", "use crate::config::Settings;", "imports config");
        refused("config/file.rs", "use crate::cli::main;", "imports cli");
    }

    #[test]
    fn a_backend_is_named_in_custody_and_the_shell_alone() {
        refused("ingest.rs", "use crate::custody::{Signer, file::RootKey};", "custody::file");
        refused("spool/import.rs", "use crate::custody::file::RootKey;", "custody::file");
        refused("epochs.rs", "use crate::custody::file::A;\n#[cfg(test)]\nmod tests { }", "custody::file");
        allowed("epochs.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use crate::custody::file::RootKey; }");
        allowed("config/file.rs", "use crate::custody::file::KeySource;");
        allowed("custody/data_key.rs", "use crate::custody::file::RootKey;");
    }

    #[test]
    fn the_sandbox_is_out_of_the_production_binarys_reach() {
        refused("cli/relay.rs", "use crate::sandbox::Sandbox;", "names the sandbox");
        refused("main.rs", "fn main() { local_vault::sandbox::Sandbox; }", "names the sandbox");
        allowed(SANDBOX_BINARY, "use local_vault::sandbox::{Config, Sandbox};");
    }

    #[test]
    fn a_module_without_a_row_is_refused() {
        refused("helpers.rs", "", "helpers has no row");
        refused("relay.rs", "use crate::helpers::x;", "helpers::x has no row");
    }

    #[test]
    fn output_and_exits_have_one_place() {
        refused("relay.rs", "fn f() { println!(\"\"); }", "println!");
        refused("cli/verify.rs", "fn f() { std::process::exit(1) }", "process::exit");
        allowed(OUTPUT, "fn f() { eprint!(\"\") }");
        allowed("relay.rs", "fn f() { my_println!() }");
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        allowed(
            "facts.rs",
            "/// See [`x`](crate::spool::x).\n/* crate::cli */ const A: &str = \"crate::spool\\\"::x\";",
        );
        allowed(
            "facts.rs",
            "const A: &str = r#\"\"crate::spool::x\"#; fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }",
        );
        refused("facts.rs", "const A: char = '\"'; use crate::spool::x; const B: char = '\"';", "imports spool");
    }

    #[test]
    fn what_points_down_is_allowed() {
        allowed("spool/open.rs", "use crate::store::{self, Access};\nuse crate::epochs::*;\nuse super::model::Event;");
        allowed("cli/spool.rs", "use super::vault::Vault; mod tests { use super::super::failure; }");
        allowed("relay.rs", "mod tests { use super::*; use super::answer::Answer; }");
        allowed("witness/accept.rs", "use crate::protocol::witness::{Decision, receipt as r, decide};");
    }
}
