//! Tries of a PIN, which a token counts and an installation must not waste. Every one is counted in the module.

use std::thread;

use super::place::{Done, LABEL, Place};

const REFUSED: &str = "token \"edge-07\" refused the PIN (C_Login: CKR_PIN_INCORRECT)";
const BEFORE: &str = "token \"edge-07\" refused this PIN before, and it was not tried again (pkcs11: login)";
const LOW: &str = "The token warns that few tries are left. ";

/// What C_GetTokenInfo may say of the user's PIN (CK_TOKEN_INFO flags).
const FINAL_TRY: &str = "C_GetTokenInfo FLAGS 0x20000";
const LOCKED: &str = "C_GetTokenInfo FLAGS 0x40000";

fn list(place: &Place) -> Done {
    place.run(&["custody", "list"])
}

/// What an operator is told to do about the PIN file.
fn mend(place: &Place) -> String {
    format!("Check {}; it will not be tried again until that changes.", place.shown("token.pin"))
}

/// What `custody report` shows, also where no key is configured.
fn report(place: &Place) -> String {
    place.run(&["custody", "report"]).out
}

/// A place whose next login would be the first.
fn untried(pin: &str) -> Place {
    let place = Place::new(&[]);
    place.secret("token.pin", pin);
    place
}

#[test]
fn a_wrong_pin_is_77_and_is_tried_once_however_often_everything_restarts() {
    let place = untried("wrong\n");
    list(&place).fails(77, REFUSED, &format!("{LOW}{}", mend(&place)));
    assert_eq!(place.calls("C_Login"), 1);
    for _ in 0..5 {
        list(&place).fails(77, BEFORE, &format!("{LOW}{}", mend(&place)));
    }
    thread::scope(|scope| {
        let runs: Vec<_> = (0..5).map(|_| scope.spawn(|| list(&place))).collect();
        for run in runs {
            run.join().unwrap().fails(77, BEFORE, &format!("{LOW}{}", mend(&place)));
        }
    });
    assert_eq!(place.calls("C_Login"), 1);
}

#[test]
fn ten_that_start_together_with_a_wrong_pin_use_one_try() {
    let place = untried("wrong\n");
    let runs: Vec<Done> = thread::scope(|scope| {
        let runs: Vec<_> = (0..10).map(|_| scope.spawn(|| list(&place))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(place.calls("C_Login"), 1);
    assert!(runs.iter().all(|done| done.code == Some(77)), "{runs:?}");
    assert_eq!(runs.iter().filter(|done| done.err.starts_with(&format!("Error: {REFUSED}."))).count(), 1);
}

#[test]
fn ten_that_start_together_with_the_right_pin_all_get_in() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.write("a", "alpha");
    thread::scope(|scope| {
        let runs: Vec<_> = (0..10).map(|_| scope.spawn(|| place.run(&["attest", "a"]))).collect();
        runs.into_iter().for_each(|run| drop(run.join().unwrap().ok()));
    });
    assert_eq!(place.calls("C_Login"), 10);
}

#[test]
fn a_pin_file_that_changed_is_tried_again_once() {
    let place = untried("wrong\n");
    assert_eq!(list(&place).code, Some(77));
    place.secret("token.pin", "wrong too\n");
    list(&place).fails(77, REFUSED, &format!("{LOW}{}", mend(&place)));
    assert_eq!((list(&place).code, place.calls("C_Login")), (Some(77), 2));
    place.secret("token.pin", &format!("{}\n", place.softhsm.pin()));
    list(&place).ok();
    assert_eq!(place.calls("C_Login"), 3);
    // The token has taken it: nothing is remembered, and nothing is held back.
    list(&place).ok();
}

#[test]
fn the_same_pin_file_by_another_name_or_from_another_folder_is_the_same() {
    let place = untried("wrong\n");
    assert_eq!(list(&place).code, Some(77));
    std::os::unix::fs::symlink("token.pin", place.path("link.pin")).unwrap();
    let config = place.config();
    place.reconfigure("\"token.pin\"", "\"link.pin\"");
    assert_eq!((list(&place).code, place.calls("C_Login")), (Some(77), 1));
    place.write("local-vault.toml", config.replace("\"spool.sqlite3\"", &format!("{:?}", place.path("spool.sqlite3"))));
    let elsewhere = Done::of(place.command(&["custody", "list"]).current_dir("/"));
    assert_eq!((elsewhere.code, place.calls("C_Login")), (Some(77), 1));
}

#[test]
fn what_cannot_be_seen_to_change_is_tried_again_after_retry_pin() {
    let place = Place::new(&[]);
    let program = format!("pin_command = [\"/bin/cat\", {:?}]", place.path("wrong"));
    let sources = [
        (program.as_str(), "the command /bin/cat"),
        ("pin_env = \"EDGE_07_PIN\"", "the variable EDGE_07_PIN"),
        ("pin_credential = \"wrong\"", "the credential wrong"),
    ];
    let mut configured = "pin_file = \"token.pin\"".to_owned();
    for (n, (source, name)) in sources.into_iter().enumerate() {
        place.reconfigure(&configured, source);
        configured = source.to_owned();
        let list = |pin: &str| {
            place.secret("wrong", pin);
            let mut command = place.command(&["custody", "list"]);
            Done::of(command.env("EDGE_07_PIN", pin).env("CREDENTIALS_DIRECTORY", place.path("")))
        };
        let advice =
            format!("{LOW}Check {name}; it will not be tried again until you run: local-vault custody retry-pin");
        list("wrong\n").fails(77, REFUSED, &advice);
        // Also a PIN that is right by now: who reads it would be told nothing by a file that was never opened.
        list(place.softhsm.pin()).fails(77, BEFORE, &advice);
        assert_eq!(place.calls("C_Login"), 3 * n + 1);
        let said = place.ok(&["custody", "retry-pin"]);
        assert!(said.starts_with(&format!("token {LABEL:?} (")), "{said}");
        assert!(said.ends_with("): the next command may try the PIN once\n"), "{said}");
        list("wrong\n").fails(77, REFUSED, &advice);
        list("wrong\n").fails(77, BEFORE, &advice);
        assert_eq!(place.calls("C_Login"), 3 * n + 2);
        place.ok(&["custody", "retry-pin"]);
        list(place.softhsm.pin()).ok();
        assert_eq!(place.calls("C_Login"), 3 * n + 3);
    }
}

#[test]
fn a_count_that_is_low_is_shown_and_does_not_stop_the_work() {
    let place = Place::new(&["source", "record", "wrapping"]);
    place.plan("C_GetTokenInfo FLAGS 0x10000");
    assert!(report(&place).contains("\nPIN          low\n"));
    assert!(place.ok(&["custody", "report", "--json"]).contains("\"pin\": \"low\""));
    place.attest("a");
    place.plan("");
    assert!(report(&place).contains("\nPIN          fine\n"));
}

#[test]
fn a_count_that_is_low_is_shown_by_softhsm_itself_after_a_wrong_pin() {
    let place = untried("wrong\n");
    assert_eq!(list(&place).code, Some(77));
    assert!(report(&place).contains("\nPIN          low\n"));
    let retry = place.run(&["custody", "retry-pin"]);
    assert_eq!(retry.err, "The token tells of its PIN: low. Make sure that it is the right one.\n");
    // A login sets the count back, so that the report looks before it logs in.
    place.secret("token.pin", &format!("{}\n", place.softhsm.pin()));
    assert!(report(&place).contains("\nPIN          low\n"));
    list(&place).ok();
    assert!(report(&place).contains("\nPIN          fine\n"));
}

#[test]
fn the_final_try_is_held_back_until_somebody_allows_it() {
    let place = untried("right or wrong, nobody knows\n");
    place.secret("token.pin", &format!("{}\n", place.softhsm.pin()));
    place.plan(FINAL_TRY);
    let held_back = || {
        list(&place).fails(
            77,
            "token \"edge-07\" has one try of its PIN left (pkcs11: login)",
            "One more wrong PIN locks it. Make sure of the PIN, then run: local-vault custody retry-pin",
        );
    };
    held_back();
    let report = place.run(&["custody", "report", "--json"]);
    assert!(report.out.contains("\"pin\": \"final-try\""), "{report:?}");
    assert_eq!(place.calls("C_Login"), 0);
    place.ok(&["custody", "retry-pin"]);
    list(&place).ok();
    assert_eq!(place.calls("C_Login"), 1);
    held_back();
}

#[test]
fn a_locked_pin_is_left_alone_also_after_retry_pin() {
    let place = Place::new(&[]);
    place.plan(LOCKED);
    let locked = || {
        list(&place).fails(
            77,
            "the PIN of token \"edge-07\" is locked (pkcs11: login)",
            "Nothing was tried. The security officer sets a new PIN with the maker's tool (C_InitPIN).",
        );
    };
    locked();
    assert!(report(&place).contains("\nPIN          locked\n"));
    place.run(&["custody", "retry-pin"]).fails(
        77,
        "the PIN of token \"edge-07\" is locked",
        "The security officer sets a new PIN with the maker's tool (C_InitPIN); it may then be tried.",
    );
    locked();
    assert_eq!(place.calls("C_Login"), 0);
}

#[test]
fn a_try_that_locks_the_token_says_so() {
    let place = Place::new(&[]);
    // The token told of nothing, and is locked by the time that it refuses.
    place.plan(&format!("C_Login CKR 0xa4\n{LOCKED} AFTER C_Login"));
    list(&place).fails(
        77,
        "token \"edge-07\" refused the PIN (C_Login: CKR_PIN_LOCKED)",
        &format!("The token is locked now. {}", mend(&place)),
    );
}

#[test]
fn a_try_that_broke_off_is_not_repeated_where_the_token_counted_it() {
    let place = Place::new(&[]);
    place.plan("C_Login HANG");
    let mut hanging = place.command(&["custody", "list"]).spawn().unwrap();
    super::sandbox::wait_until(|| (place.calls("C_Login") == 1).then_some(()));
    hanging.kill().unwrap();
    hanging.wait().unwrap();
    place.plan("C_GetTokenInfo FLAGS 0x10000");
    list(&place).fails(
        77,
        "earlier tries of the PIN of token \"edge-07\" broke off, and it may have counted them (pkcs11: login)",
        &format!("{LOW}Make sure of the PIN, then run: local-vault custody retry-pin"),
    );
    assert_eq!(place.calls("C_Login"), 1);
    // Where the token counted nothing, it was no try.
    place.plan("");
    list(&place).ok();
}

#[test]
fn a_token_that_says_neither_yes_nor_no_is_asked_twice_and_no_more() {
    let place = Place::new(&[]);
    place.plan("C_Login CKR 0x5");
    assert_eq!(list(&place).code, Some(69));
    list(&place).fails(77, "token \"edge-07\" refused the PIN (C_Login: CKR_GENERAL_ERROR)", &mend(&place));
    list(&place).fails(77, BEFORE, &mend(&place));
    assert_eq!(place.calls("C_Login"), 2);
    place.plan("");
    place.ok(&["custody", "retry-pin"]);
    list(&place).ok();
}

#[test]
fn a_token_that_goes_away_while_it_is_asked_has_refused_nothing() {
    let place = Place::new(&[]);
    place.plan("C_Login CKR 0x32");
    for _ in 0..3 {
        assert_eq!(list(&place).code, Some(69));
    }
    place.plan("");
    list(&place).ok();
}

#[test]
fn two_configurations_that_take_turns_with_wrong_pins_use_one_try_each() {
    let place = untried("wrong\n");
    place.secret("other.pin", "wrong too\n");
    for _ in 0..3 {
        assert_eq!(list(&place).code, Some(77));
        place.reconfigure("\"token.pin\"", "\"other.pin\"");
        assert_eq!(list(&place).code, Some(77));
        place.reconfigure("\"other.pin\"", "\"token.pin\"");
    }
    assert_eq!(place.calls("C_Login"), 2);
}

#[test]
fn a_try_that_cannot_be_remembered_is_not_made() {
    let place = Place::new(&[]);
    let serial = report(&place);
    let serial = serial.split_once("(serial ").unwrap().1.split_once(')').unwrap().0.to_owned();
    let memory = format!("pkcs11-pin-{serial}");
    std::fs::create_dir(place.path(format!("{memory}.lock"))).unwrap();
    let done = list(&place);
    let advice = "It remembers a refused PIN, so that it is not tried again; without it none is tried. It is no file: remove it.";
    assert_eq!((done.code, done.err.lines().nth(1)), (Some(78), Some(advice)), "{done:?}");
    assert!(done.err.starts_with(&format!("Error: cannot keep {}: ", place.shown(&format!("{memory}.json")))));
    assert_eq!(place.calls("C_Login"), 0);
}

#[test]
fn a_token_without_a_user_pin_has_refused_none() {
    let place = Place::new(&[]);
    place.plan("C_Login CKR 0x102");
    for _ in 0..2 {
        list(&place).fails(
            69,
            "token \"edge-07\" has no user PIN (C_Login: CKR_USER_PIN_NOT_INITIALIZED)",
            "The security officer sets one with the maker's tool (C_InitPIN).",
        );
    }
    place.plan("");
    list(&place).ok();
}
