//! The unit that is shipped, as systemd reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::vault::Done;

/// What `systemd-analyze security` may say at most, in tenths. 20 is what it calls well protected.
const EXPOSURE: &str = "20";

/// The unit with the binary of this build. None where there is no systemd.
fn unit(folder: &Path) -> Option<String> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("not run: there is no systemd-analyze here");
        return None;
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/local-vault.service")).unwrap();
    assert!(text.contains("/usr/local/bin/local-vault "));
    let unit = folder.join("local-vault.service");
    fs::write(&unit, text.replace("/usr/local/bin/local-vault", env!("CARGO_BIN_EXE_local-vault"))).unwrap();
    Some(unit.to_str().unwrap().to_owned())
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let Some(unit) = unit(folder.path()) else { return };
    let done = Done::of(Command::new("systemd-analyze").args(["verify", &unit]));
    // What it says of other units of this machine is not ours.
    let ours: Vec<&str> = done.err.lines().filter(|line| line.contains("local-vault.service")).collect();
    assert_eq!((done.code, ours), (Some(0), vec![]), "{done:?}");
}

#[test]
fn the_unit_gives_the_service_little_to_do_harm_with() {
    let folder = tempfile::tempdir().unwrap();
    let Some(unit) = unit(folder.path()) else { return };
    let threshold = format!("--threshold={EXPOSURE}");
    Done::of(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager", &threshold, &unit]))
        .ok();
}
