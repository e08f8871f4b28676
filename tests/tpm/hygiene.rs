//! A TPM has room for a few objects and sessions. What fails leaves none behind, and what others leave behind stops
//! nothing.

use std::sync::Arc;

use local_vault::custody::{ErrorKind, WrappingKey as _};

use super::place::{ALL, Place, sign};
use super::process::killed_after;
use super::swtpm::Swtpm;

/// Opens sessions until the TPM has none left. Each lies saved, as tools leave it.
fn take_every_session(swtpm: &Swtpm) -> usize {
    let open = |n: &usize| swtpm.try_tool("tpm2_startauthsession", &["--policy-session", "-S", &format!("taken{n}")]);
    (0..200).take_while(|n| open(n).is_ok()).count()
}

/// Fills every slot for an object that is loaded.
fn take_every_slot(swtpm: &Swtpm) -> usize {
    let make = |_: &usize| swtpm.try_tool("tpm2_createprimary", &["-C", "o", "-G", "ecc", "-c", "taken.ctx"]);
    (0..20).take_while(|n| make(n).is_ok()).count()
}

/// How often a program has made the parent, which it does once a connection.
pub(crate) fn connections(place: &Place) -> usize {
    let recorded = place.proxy.recorded();
    recorded.windows(10).filter(|w| w.starts_with(&[0x80, 0x02]) && w.ends_with(&[0, 0, 0x01, 0x31])).count()
}

#[test]
fn a_hundred_failing_releases_leak_nothing_and_the_program_goes_on() {
    let place = Place::with(&["relay", "wrapping"], "pin_file = \"pin\"\n");
    let tpm = place.tpm();
    place.secret("pin", "0000-wrong-pin\n");
    let public = local_vault::protocol::PublicKey::from_hex(&place.public_key("relay")).unwrap();
    let before = connections(&place);
    for _ in 0..100 {
        let key = local_vault::custody::tpm::ReleasedKey::new(tpm.clone(), super::place::RELAY, public.clone());
        assert_eq!(sign(&key, "x").unwrap_err().kind, ErrorKind::Refused);
    }
    // It did not need to begin anew because something was full. By itself it does after two seconds.
    assert!(connections(&place) - before < 30, "{}", connections(&place) - before);
    place.secret("pin", "7395-right-pin\n");
    let key = local_vault::custody::tpm::ReleasedKey::new(tpm.clone(), super::place::RELAY, public);
    sign(&key, "x").unwrap();
    drop((key, tpm));
    assert_eq!(place.loaded(), "");
}

#[test]
fn a_hundred_refusals_of_each_kind_leave_nothing_loaded() {
    let place = Place::new(&ALL);
    let key = place.wrapping().unwrap();
    let (wrapped, _) = key.generate_data_key(b"context").unwrap();
    place.swtpm.extend(7, "x");
    let (resident, released) = (place.resident(), place.released());
    for _ in 0..100 {
        sign(&resident, "x").unwrap_err();
        sign(&released, "x").unwrap_err();
        key.unwrap_data_key(&wrapped, b"context").unwrap_err();
    }
    drop((key, resident, released));
    assert_eq!(place.loaded(), "");
}

#[test]
fn every_command_ends_with_nothing_loaded() {
    let place = Place::new(&ALL);
    place.attest("a");
    for words in
        [&["custody", "selftest"][..], &["custody", "tpm", "status"], &["custody", "report"], &["spool", "rotate"]]
    {
        place.ok(words);
        assert_eq!(place.loaded(), "", "{words:?}");
    }
    place.reseal(&[]);
    assert_eq!(place.loaded(), "");
    place.swtpm.extend(7, "x");
    place.run(&["custody", "selftest"]);
    assert_eq!(place.loaded(), "");
}

#[test]
fn a_process_that_is_killed_anywhere_stops_nobody_after_it() {
    let place = Place::new(&ALL);
    place.attest("a");
    let (mut commands, mut kills) = (1, 0);
    while killed_after(commands, &place.proxy, &mut place.command(&["custody", "selftest"])) {
        (commands, kills) = (commands + 4, kills + 1);
        // Straight after it, with what it has left loaded.
        place.attest(&kills.to_string());
    }
    assert!(kills >= 20, "{kills}");
    assert_eq!((place.loaded().as_str(), place.count("queued")), ("", kills + 1));
}

#[test]
fn sessions_that_others_have_taken_stop_nothing() {
    let place = Place::new(&ALL);
    assert!(take_every_session(&place.swtpm) >= 3);
    place.attest("a");
    // And while a program is connected.
    let key = place.resident();
    sign(&key, "x").unwrap();
    for commands in [1, 4, 7] {
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || assert!(take_every_session(&swtpm) >= 1));
        let released = place.released();
        sign(&released, "x").unwrap();
        sign(&key, "x").unwrap();
        assert!(place.proxy.has_happened());
    }
}

#[test]
fn objects_that_others_have_loaded_stop_nothing() {
    let place = Place::new(&ALL);
    assert_eq!(take_every_slot(&place.swtpm), 3);
    place.attest("a");
    for commands in (1..=12).step_by(2) {
        let swtpm: Arc<Swtpm> = place.swtpm.clone();
        place.proxy.after(commands, move || {
            take_every_slot(&swtpm);
        });
        sign(&place.released(), "x").unwrap();
        assert!(place.proxy.has_happened());
    }
}

#[test]
fn what_others_flush_of_ours_is_made_anew() {
    let place = Place::new(&ALL);
    let key = place.resident();
    for commands in (1..=20).step_by(2) {
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || {
            for kind in ["--transient-object", "--loaded-session", "--saved-session"] {
                let _ = swtpm.try_tool("tpm2_flushcontext", &[kind]);
            }
        });
        sign(&key, "x").unwrap();
        sign(&place.released(), "x").unwrap();
        place.proxy.has_happened();
    }
}
