//! The unit that is shipped, as systemd reads it.

#![allow(clippy::print_stdout)] // says what is left out

use std::fs;
use std::path::Path;
use std::process::Command;

use super::vault::Done;

/// What `systemd-analyze security` may say at most, in tenths. 20 is what it calls well protected.
const EXPOSURE: &str = "20";

/// Whether there is no systemd here to ask.
fn is_left_out() -> bool {
    let is_left_out = Command::new("systemd-analyze").arg("--version").output().is_err();
    if is_left_out {
        println!("not run: there is no systemd-analyze here");
    }
    is_left_out
}

/// The unit with the binary of this build.
fn unit(folder: &Path) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/local-vault.service")).unwrap();
    assert!(text.contains("/usr/local/bin/local-vault "));
    let unit = folder.join("local-vault.service");
    fs::write(&unit, text.replace("/usr/local/bin/local-vault", env!("CARGO_BIN_EXE_local-vault"))).unwrap();
    unit.to_str().unwrap().to_owned()
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let done = Done::of(Command::new("systemd-analyze").args(["verify", &unit]));
    // What it says of other units of this machine is not ours.
    let ours: Vec<&str> = done.err.lines().filter(|line| line.contains("local-vault.service")).collect();
    assert_eq!((done.code, ours), (Some(0), vec![]), "{done:?}");
}

#[test]
fn the_unit_gives_the_service_little_to_do_harm_with() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = unit(folder.path());
    let threshold = format!("--threshold={EXPOSURE}");
    Done::of(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager", &threshold, &unit]))
        .ok();
}
