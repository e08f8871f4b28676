//! The PIN is nowhere but where it was put.

use std::fs;
use std::path::{Path, PathBuf};

use super::place::{Done, Loop, Place};
use super::sandbox::wait_until;

fn contains(bytes: &[u8], text: &str) -> bool {
    let list = format!("{:?}", text.as_bytes());
    let forms = [text.to_owned(), hex::encode(text), list.trim_matches(['[', ']']).to_owned()];
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn no_command_tells_the_pin_however_much_it_is_asked_to_say() {
    let (place, sandbox) = Place::with_sandbox("wrapping --resident");
    place.write("a", "alpha");
    let (right, wrong) = (place.softhsm.pin(), "wrong-6d1e-pin");
    let commands: [&[&str]; 12] = [
        &["config", "check"],
        &["custody", "report"],
        &["custody", "report", "--json"],
        &["custody", "list", "--json"],
        &["custody", "show", "local-vault-relay"],
        &["custody", "selftest"],
        &["custody", "generate", "witness"],
        &["attest", "a"],
        &["relay", "drain", "--json"],
        &["drain-once"],
        &["spool", "rotate"],
        &["custody", "retry-pin"],
    ];
    let sources =
        ["pin_file = \"token.pin\"", "pin_env = \"EDGE_07_PIN\"", "pin_command = [\"/bin/cat\", \"token.pin\"]"];
    let mut configured = sources[0];
    for (source, pin) in [(sources[0], right), (sources[1], right), (sources[2], right), (sources[2], wrong)] {
        place.reconfigure(configured, source);
        configured = source;
        place.secret("token.pin", &format!("{pin}\n"));
        for words in commands {
            let mut command = place.command(&[["--log", "trace"].as_slice(), words].concat());
            let done = Done::of(command.env("EDGE_07_PIN", pin));
            for secret in [right, wrong] {
                assert!(!contains(done.out.as_bytes(), secret), "{words:?}: {done:?}");
                assert!(!contains(done.err.as_bytes(), secret), "{words:?}: {done:?}");
            }
            let refused = pin == wrong && !matches!(words[0], "config") && words[1..] != ["retry-pin"];
            assert!(!refused || done.code != Some(0), "{words:?}: {done:?}");
        }
    }
    // Spool, memory of the PIN, record of what was called: everything beside the file that was given.
    let (config, pin_file) = (place.path("local-vault.toml"), place.path("token.pin"));
    for file in files(&place.path("")).iter().filter(|file| **file != pin_file) {
        let bytes = fs::read(file).unwrap();
        assert!(!contains(&bytes, right) && !contains(&bytes, wrong), "{}", file.display());
    }
    assert!(config.exists() && !contains(&sandbox.record(), right));
}

#[test]
fn a_running_relay_shows_the_pin_neither_on_its_command_line_nor_in_its_environment() {
    let (place, _sandbox) = Place::with_sandbox("wrapping");
    place.attest("a");
    let mut command = place.command(&["--log", "trace", "drain-loop", "--idle-sleep-seconds", "0.05"]);
    let relay = Loop::start(&mut command);
    relay.next();
    wait_until(|| (place.count("receipted") == 1).then_some(()));
    for file in ["cmdline", "environ", "comm", "status"] {
        assert!(!contains(&relay.file(file), place.softhsm.pin()), "{file}");
    }
    assert!(!contains(relay.end().as_bytes(), place.softhsm.pin()));
}
