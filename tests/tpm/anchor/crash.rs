use local_vault::custody::{Anchor as _, ErrorKind};

use super::{LABEL, floor};
use crate::place::Place;

#[test]
fn power_that_is_lost_in_a_step_leaves_the_floor_before_it_or_after_it() {
    let (place, anchor) = Place::anchored("");
    drop(anchor);
    let (mut commands, mut stands) = (0, 1);
    loop {
        commands += 1;
        let anchor = place.anchor(LABEL);
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || swtpm.kill());
        let done = anchor.advance(&floor(stands + 1));
        // With its connection, whose end is a command too.
        drop(anchor);
        if !place.proxy.has_happened() {
            done.unwrap();
            break;
        }
        // What only flushes may fail.
        assert!(done.is_ok() || done.is_err_and(|error| error.kind == ErrorKind::Away));
        place.swtpm.start();
        let anchor = place.anchor(LABEL);
        let found = anchor.read().unwrap().unwrap().count;
        assert!([stands, stands + 1].contains(&found), "{commands}: {found} of {stands}");
        // It is final, and the same step may be done again.
        anchor.advance(&floor(stands + 1)).unwrap();
        stands += 1;
    }
    assert!(commands > 12, "{commands}");
}

#[test]
fn an_answer_that_is_lost_in_a_step_is_asked_for_again() {
    let (place, anchor) = Place::anchored("");
    drop(anchor);
    for commands in 1.. {
        let anchor = place.anchor(LABEL);
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || {
            swtpm.kill();
            swtpm.start();
        });
        let next = floor(commands as u64 + 1);
        anchor.advance(&next).unwrap();
        assert_eq!(anchor.read().unwrap(), Some(next));
        drop(anchor);
        if !place.proxy.has_happened() {
            break;
        }
    }
}

#[test]
fn a_begin_that_is_killed_anywhere_leaves_nothing_that_is_not_listed() {
    let place = Place::new(&["relay"]);
    let bare = place.indices();
    for commands in 1.. {
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || swtpm.kill());
        let done = place.anchor(LABEL).begin(&floor(1));
        let happened = place.proxy.has_happened();
        if happened {
            place.swtpm.start();
            let anchor = place.anchor(LABEL);
            // What only flushes may fail.
            assert_eq!(anchor.read().unwrap(), done.ok().map(|()| floor(1)), "{commands}");
            if anchor.read().unwrap().is_none() {
                anchor.begin(&floor(2)).unwrap();
                assert_eq!(anchor.read().unwrap(), Some(floor(2)));
            }
        }
        let tpm = place.tpm();
        assert!(tpm.evict(LABEL).unwrap());
        for left in tpm.other_halves().unwrap() {
            assert!(tpm.evict_half(left).unwrap());
        }
        drop(tpm);
        assert_eq!(place.indices(), bare, "{commands}");
        if !happened {
            assert!(commands > 30, "{commands}");
            break;
        }
    }
}

#[test]
fn one_that_was_not_begun_in_full_is_listed_and_goes_by_its_label() {
    let place = Place::new(&["relay"]);
    let bare = place.indices();
    let mut commands = 1;
    while !place.path(format!("tpm/{LABEL}.sealed.json")).exists() {
        let swtpm = place.swtpm.clone();
        place.proxy.after(commands, move || swtpm.kill());
        place.anchor(LABEL).begin(&floor(1)).unwrap_err();
        assert!(place.proxy.has_happened());
        place.swtpm.start();
        commands += 1;
    }
    let told = place.told(LABEL);
    assert_eq!((told.get_str("kind"), told.get("begun")), (Some("anchor"), Some(&false.into())));
    assert!(place.ok(&["custody", "tpm", "status"]).contains("(anchor, NOT BEGUN IN FULL, counter NV 0x01"));
    place.ok(&["custody", "tpm", "evict", LABEL, "--yes"]);
    for left in place.other_halves() {
        place.ok(&["custody", "tpm", "evict", "--nv-index", &left, "--yes"]);
    }
    assert_eq!(place.indices(), bare);
}
