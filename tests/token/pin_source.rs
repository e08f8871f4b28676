//! Where a PIN comes from. A source that cannot be read is an error, and never an empty PIN.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::place::{Done, Place};

const ADVICE: &str = "No PIN was tried. Mend the source, or name another one.";

/// A place with this source of the PIN.
fn with(source: &str) -> Place {
    let place = Place::new(&[]);
    place.reconfigure("pin_file = \"token.pin\"", source);
    place
}

fn list(place: &Place) -> Command {
    place.command(&["custody", "list"])
}

/// The PIN cannot be read from this source, and none was tried.
#[track_caller]
fn unreadable(place: &Place, command: &mut Command, source: &str, why: &str) {
    let tries = place.calls("C_Login");
    Done::of(command).fails(78, &format!("the PIN cannot be read from {source}: {why} (custody: pin)"), ADVICE);
    assert_eq!(place.calls("C_Login"), tries);
}

#[test]
fn a_pin_file_that_is_missing_empty_or_open_to_others_is_not_used() {
    let place = with("pin_file = \"none\"");
    unreadable(&place, &mut list(&place), &place.shown("none"), "No such file or directory (os error 2)");
    place.secret("none", "\n");
    unreadable(&place, &mut list(&place), &place.shown("none"), "it holds no PIN");
    place.secret("none", "1234\n5678\n");
    unreadable(&place, &mut list(&place), &place.shown("none"), "it holds more than one line");
    place.secret("none", place.softhsm.pin());
    fs::set_permissions(place.path("none"), Permissions::from_mode(0o644)).unwrap();
    let done = Done::of(&mut list(&place));
    assert_eq!((done.code, done.err.lines().count(), place.calls("C_Login")), (Some(78), 2, 0), "{done:?}");
    assert!(done.err.contains("644") && done.err.contains("chmod"), "{done:?}");
}

#[test]
fn a_variable_that_is_not_set_or_empty_is_an_error() {
    let place = with("pin_env = \"EDGE_07_PIN\"");
    unreadable(&place, &mut list(&place), "the variable EDGE_07_PIN", "it is not set");
    unreadable(&place, list(&place).env("EDGE_07_PIN", ""), "the variable EDGE_07_PIN", "it holds no PIN");
    Done::of(list(&place).env("EDGE_07_PIN", place.softhsm.pin())).ok();
}

#[test]
fn a_command_that_fails_or_is_missing_is_an_error() {
    let place = with("pin_command = [\"/bin/sh\", \"-c\", \"echo 1234; exit 3\"]");
    unreadable(&place, &mut list(&place), "the command /bin/sh", "it ended with exit status: 3");
    place.reconfigure("echo 1234; exit 3", "true");
    unreadable(&place, &mut list(&place), "the command /bin/sh", "it holds no PIN");
    place.reconfigure("true", "cat token.pin");
    Done::of(list(&place).env("PATH", "/usr/bin:/bin")).ok();
    place.reconfigure("/bin/sh", "/no/such/program");
    unreadable(&place, &mut list(&place), "the command /no/such/program", "No such file or directory (os error 2)");
}

#[test]
fn a_credential_is_a_file_in_the_folder_that_systemd_names() {
    let place = with("pin_credential = \"edge-07.pin\"");
    let source = "the credential edge-07.pin";
    unreadable(&place, &mut list(&place), source, "CREDENTIALS_DIRECTORY is not set");
    let with_folder = || {
        let mut command = list(&place);
        command.env("CREDENTIALS_DIRECTORY", place.path("credentials"));
        command
    };
    let missing = format!(
        "cannot read {}: No such file or directory (os error 2) (file: open)",
        place.shown("credentials/edge-07.pin")
    );
    let check = "Check the path in the configuration, and that this user may read the file.";
    Done::of(&mut with_folder()).fails(78, &missing, check);
    fs::create_dir(place.path("credentials")).unwrap();
    place.secret("credentials/edge-07.pin", "");
    unreadable(&place, &mut with_folder(), source, "it holds no PIN");
    // systemd writes them so: its access list for the unit's user looks like a mode for the group.
    place.write("credentials/edge-07.pin", place.softhsm.pin());
    fs::set_permissions(place.path("credentials/edge-07.pin"), Permissions::from_mode(0o440)).unwrap();
    Done::of(&mut with_folder()).ok();
    fs::set_permissions(place.path("credentials/edge-07.pin"), Permissions::from_mode(0o444)).unwrap();
    let shown = place.shown("credentials/edge-07.pin");
    Done::of(&mut with_folder()).fails(
        78,
        &format!("{shown} may be read by others (mode 444) (file: mode)"),
        &format!("Run: chmod 600 {shown}"),
    );
}

#[test]
fn a_prompt_without_a_terminal_is_an_error() {
    let place = with("pin_prompt = true");
    // A session of its own has no terminal, whoever runs the tests.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(env!("CARGO_BIN_EXE_local-vault")).args(["custody", "list"]);
    let plain = list(&place);
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/bin:/bin").current_dir(place.path(""));
    let done = Done::of(&mut command);
    assert_eq!((done.code, place.calls("C_Login")), (Some(78), 0), "{done:?}");
    let (what, advice) = done.err.split_once('\n').unwrap();
    assert!(what.starts_with("Error: the PIN cannot be read from the prompt: "), "{done:?}");
    assert_eq!(advice, format!("{ADVICE}\n"));
}

#[test]
fn two_sources_or_none_are_refused_before_anything_is_read() {
    let all = "pin_file, pin_credential, pin_command, pin_env, pin_prompt";
    for (sources, count) in [("pin_file = \"token.pin\"\npin_env = \"EDGE_07_PIN\"", 2), ("", 0)] {
        let place = with(sources);
        let done = Done::of(&mut list(&place));
        assert_eq!(done.code, Some(78));
        let problem = format!("needs one source of the PIN ({all}), and names {count}");
        assert!(done.err.lines().nth(1).is_some_and(|line| line.ends_with(&problem)), "{done:?}");
        assert_eq!(place.calls("C_GetTokenInfo"), 0);
    }
}
