//! A floor in the TPM rises and does not fall, whoever has the owner hierarchy, and whenever the power goes.

use std::fs;
use std::sync::Arc;

use local_vault::custody::tpm::TpmAnchor;
use local_vault::custody::{Anchor as _, AnchorKind, CustodyError, ErrorKind, Floor};
use local_vault::facts::Digest;
use local_vault::protocol::json::Object;

use super::place::{Place, RELAY, WRAPPING};

const LABEL: &str = "anchor";
const OTHER: &str = "other-anchor";

fn floor(count: u64) -> Floor {
    Floor { count, root: Digest::of(&count.to_be_bytes()) }
}

impl Place {
    fn anchor(&self, label: &str) -> TpmAnchor {
        TpmAnchor::new(self.tpm(), label)
    }

    /// Provisioned, with an anchor at 1.
    fn anchored(lines: &str) -> (Self, TpmAnchor) {
        let place = Self::with(&["relay"], lines);
        let anchor = place.anchor(LABEL);
        anchor.begin(&floor(1)).unwrap();
        (place, anchor)
    }

    /// What status tells of it.
    fn told(&self, label: &str) -> Object {
        let status = self.status();
        let sealed = status.get("sealed").unwrap().as_array().unwrap();
        let mut objects = sealed.iter().map(|sealed| sealed.as_object().unwrap());
        objects.find(|sealed| sealed.get_str("label") == Some(label)).unwrap().clone()
    }

    fn counter_index(&self, label: &str) -> String {
        self.told(label).get_str("counterNvIndex").unwrap().to_owned()
    }

    fn floor_index(&self, label: &str) -> String {
        self.told(label).get_str("floorNvIndex").unwrap().to_owned()
    }

    /// What an index holds, as its owner may read it.
    fn held(&self, index: &str) -> Vec<u8> {
        self.tool_ok(&format!("tpm2_nvread {index} -C o -o held"));
        self.of_tools("held")
    }

    fn counted(&self, label: &str) -> u64 {
        u64::from_be_bytes(self.held(&self.counter_index(label)).try_into().unwrap())
    }

    fn indices(&self) -> String {
        self.tool_ok("tpm2_getcap handles-nv-index")
    }

    /// What a thief of the sealed secret authorizes himself with.
    fn stolen_auth(&self, label: &str) -> String {
        let [secret, ..] = self.stolen(label);
        let mut auth = [0; 32];
        let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, &secret);
        hkdf.expand(b"local-vault.tpm.anchor.auth.v1", &mut auth).unwrap();
        hex::encode(auth)
    }

    /// Undefines an index and defines it as it was, with this secret.
    fn make_anew(&self, index: &str, kind: &str, auth: &str) {
        self.tool_ok(&format!("tpm2_nvundefine {index} -C o"));
        self.tool_ok("tpm2_startauthsession -S trial.session");
        self.tool_ok("tpm2_policyauthvalue -S trial.session -L auth.policy");
        self.tool_ok("tpm2_flushcontext trial.session");
        self.tool_ok(&format!(
            "tpm2_nvdefine {index} -C o {kind} -a {kind_of}policywrite|policyread|ownerread|no_da -L auth.policy -p {auth}",
            kind_of = if kind == "-s 8" { "nt=counter|" } else { "" },
        ));
    }

    /// Runs a tool with a session that has asserted that its user knows the index's secret.
    fn knowing(&self, line: &str, auth: &str) -> Result<String, String> {
        self.tool_ok("tpm2_startauthsession --policy-session -S auth.session");
        self.tool_ok("tpm2_policyauthvalue -S auth.session");
        let done = self.tool(&format!("{line} -P session:auth.session{auth}"));
        let _ = self.tool("tpm2_flushcontext -l");
        let _ = self.tool("tpm2_flushcontext -s");
        done
    }
}

#[track_caller]
fn is_broken(read: Result<Option<Floor>, CustodyError>, message: &str) {
    let error = read.unwrap_err();
    assert!(error.kind == ErrorKind::Broken && error.message.contains(message), "{error:?}");
}

#[test]
fn it_rises_and_is_there_after_a_restart() {
    let place = Place::new(&["relay"]);
    let anchor = place.anchor(LABEL);
    assert_eq!(anchor.read().unwrap(), None);
    assert_eq!(anchor.advance(&floor(1)).unwrap_err().kind, ErrorKind::NotFound);
    anchor.begin(&floor(0)).unwrap();
    assert_eq!(anchor.read().unwrap(), Some(floor(0)));
    for count in [1, 2, 1_000, u64::MAX] {
        anchor.advance(&floor(count)).unwrap();
        assert_eq!(anchor.read().unwrap(), Some(floor(count)));
    }
    place.swtpm.stop();
    place.swtpm.start();
    assert_eq!(place.anchor(LABEL).read().unwrap(), Some(floor(u64::MAX)));
    // A simulator is the host's.
    assert_eq!(anchor.kind().unwrap(), AnchorKind::VirtualTpm);
    let error = anchor.begin(&floor(9)).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.message.ends_with("is there already"), "{error:?}");
    assert_eq!(anchor.read().unwrap(), Some(floor(u64::MAX)));
}

#[test]
fn it_does_not_fall_and_the_same_again_writes_nothing() {
    let (place, anchor) = Place::anchored("");
    anchor.advance(&floor(5)).unwrap();
    let counted = place.counted(LABEL);
    anchor.advance(&floor(5)).unwrap();
    for lower in [floor(4), floor(0), Floor { count: 5, root: Digest::of(b"fork") }] {
        let error = anchor.advance(&lower).unwrap_err();
        assert_eq!((error.kind, error.operation), (ErrorKind::Refused, "advance"), "{error:?}");
    }
    assert_eq!((place.counted(LABEL), anchor.read().unwrap()), (counted, Some(floor(5))));
    // A step is one of the counter's, and reading is none.
    anchor.advance(&floor(6)).unwrap();
    assert_eq!(place.counted(LABEL), counted + 1);
}

#[test]
fn nobody_else_writes_to_it() {
    let (place, anchor) = Place::anchored("");
    let [counter, floor_at] = [place.counter_index(LABEL), place.floor_index(LABEL)];
    place.for_tools("zeros", &[0; 81]);
    let before = [place.held(&counter), place.held(&floor_at)];
    let commands = [format!("tpm2_nvincrement {counter}"), format!("tpm2_nvwrite {floor_at} -i zeros")];
    for (command, index) in commands.iter().zip([&counter, &floor_at]) {
        for by in ["-C o".to_owned(), "-C p".to_owned(), format!("-C {index}"), format!("-C {index} -P guess")] {
            place.tool(&format!("{command} {by}")).unwrap_err();
        }
        // The policy alone is no secret: it asks for one.
        for auth in ["", "+guess"] {
            place.knowing(&format!("{command} -C {index}"), auth).unwrap_err();
        }
        place.tool(&format!("tpm2_nvread {index} -C {index}")).unwrap_err();
    }
    assert_eq!([place.held(&counter), place.held(&floor_at)], before);
    assert_eq!((anchor.read().unwrap(), place.lockout_counter()), (Some(floor(1)), 0));
    // And a guesser's command is one that does work for who knows.
    let auth = format!("+hex:{}", place.stolen_auth(LABEL));
    place.knowing(&format!("tpm2_nvincrement {counter} -C {counter}"), &auth).unwrap();
    is_broken(anchor.read(), "set back, or made anew");
}

#[test]
fn an_old_floor_that_is_put_back_shows_even_where_the_secret_is_known() {
    let (place, anchor) = Place::anchored("");
    let index = place.floor_index(LABEL);
    let old = place.held(&index);
    anchor.advance(&floor(2)).unwrap();
    place.for_tools("old", &old);
    let write = format!("tpm2_nvwrite {index} -C {index} -i old");
    // By whoever owns the TPM.
    place.make_anew(&index, "-s 81", "guess");
    is_broken(anchor.read(), "is not as the anchor made it");
    place.knowing(&write, "+guess").unwrap();
    is_broken(anchor.read(), "was made anew by somebody else");
    assert_eq!(anchor.advance(&floor(3)).unwrap_err().kind, ErrorKind::Broken);
    // By whoever was released the secret, too.
    let auth = format!("hex:{}", place.stolen_auth(LABEL));
    place.make_anew(&index, "-s 81", &auth);
    place.knowing(&write, &format!("+{auth}")).unwrap();
    is_broken(anchor.read(), "set back, or made anew");
    assert_eq!(anchor.advance(&floor(3)).unwrap_err().kind, ErrorKind::Broken);
    // What nobody wrote with its key is not read.
    place.for_tools("old", &[&[1; 80][..], &[0]].concat());
    place.knowing(&write, &format!("+{auth}")).unwrap();
    is_broken(anchor.read(), "not what was written");
}

#[test]
fn a_counter_that_is_made_anew_starts_above_and_shows() {
    let (place, anchor) = Place::anchored("");
    let (index, before) = (place.counter_index(LABEL), place.counted(LABEL));
    let auth = format!("hex:{}", place.stolen_auth(LABEL));
    place.make_anew(&index, "-s 8", "guess");
    is_broken(anchor.read(), "is not as the anchor made it");
    place.knowing(&format!("tpm2_nvincrement {index} -C {index}"), "+guess").unwrap();
    is_broken(anchor.read(), "was made anew by somebody else");
    place.make_anew(&index, "-s 8", &auth);
    place.knowing(&format!("tpm2_nvincrement {index} -C {index}"), &format!("+{auth}")).unwrap();
    assert!(place.counted(LABEL) > before);
    is_broken(anchor.read(), "set back, or made anew");
}

#[test]
fn one_that_is_gone_is_not_one_that_never_was() {
    for index in [Place::counter_index, Place::floor_index] {
        let (place, anchor) = Place::anchored("");
        place.tool_ok(&format!("tpm2_nvundefine {} -C o", index(&place, LABEL)));
        is_broken(anchor.read(), "of the anchor is gone");
        assert_eq!(anchor.advance(&floor(2)).unwrap_err().kind, ErrorKind::Broken);
        assert_eq!(anchor.begin(&floor(2)).unwrap_err().kind, ErrorKind::Refused);
        place.ok(&["custody", "tpm", "evict", LABEL, "--yes"]);
        assert_eq!(anchor.read().unwrap(), None);
        anchor.begin(&floor(7)).unwrap();
        assert_eq!(anchor.read().unwrap(), Some(floor(7)));
    }
    let (place, anchor) = Place::anchored("");
    place.write(format!("tpm/{LABEL}.sealed.json"), "{}");
    is_broken(anchor.read(), "does not read");
    place.swtpm.wipe();
    assert_eq!(place.anchor(OTHER).begin(&floor(1)).unwrap_err().operation, "parent");
}

#[test]
fn a_tpm_that_is_restored_from_a_copy_gives_the_older_floor() {
    let (place, anchor) = Place::anchored("");
    drop(anchor);
    place.swtpm.stop();
    let state = place.swtpm.folder().join("state/tpm2-00.permall");
    let copy = fs::read(&state).unwrap();
    place.swtpm.start();
    place.anchor(LABEL).advance(&floor(2)).unwrap();
    place.swtpm.stop();
    fs::write(&state, copy).unwrap();
    place.swtpm.start();
    // Nothing within the machine tells: this is what `vtpm` says of an anchor.
    assert_eq!(place.anchor(LABEL).read().unwrap(), Some(floor(1)));
}

#[test]
fn two_anchors_do_not_meddle() {
    let (place, anchor) = Place::anchored("");
    let other = TpmAnchor::new(place.tpm(), OTHER);
    other.begin(&floor(100)).unwrap();
    anchor.advance(&floor(2)).unwrap();
    other.advance(&floor(101)).unwrap();
    assert_eq!((anchor.read().unwrap(), other.read().unwrap()), (Some(floor(2)), Some(floor(101))));
    // Nor with keys.
    let error = place.anchor(RELAY).read().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured, "{error:?}");
    assert_eq!(place.anchor(RELAY).begin(&floor(1)).unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(place.anchor("../x").read().unwrap_err().kind, ErrorKind::Misconfigured);
    place.ok(&["custody", "tpm", "evict", LABEL, "--yes"]);
    assert_eq!((anchor.read().unwrap(), other.read().unwrap()), (None, Some(floor(101))));
}

#[test]
fn several_at_once_leave_the_highest() {
    let (place, anchor) = Place::anchored("");
    std::thread::scope(|scope| {
        for first in 0..4 {
            let another = TpmAnchor::new(place.tpm(), LABEL);
            scope.spawn(move || {
                for count in (first + 2..30).step_by(4) {
                    match another.advance(&floor(count)) {
                        Ok(()) => {}
                        Err(error) => assert_eq!(error.kind, ErrorKind::Refused, "{error:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(anchor.read().unwrap(), Some(floor(29)));
}

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

#[test]
fn status_lists_it_and_evict_takes_it_away() {
    let place = Place::new(&["relay"]);
    let bare = place.indices();
    place.anchor(LABEL).begin(&floor(1)).unwrap();
    let told = place.told(LABEL);
    assert_eq!((told.get_str("kind"), told.get("begun")), (Some("anchor"), Some(&true.into())));
    let names = ["nvIndex", "counterNvIndex", "floorNvIndex"].map(|name| told.get_str(name).unwrap().to_owned());
    let as_listed = |name: &String| format!("- 0x{:X}\n", u32::from_str_radix(&name[2..], 16).unwrap());
    assert!(names.iter().all(|name| place.indices().contains(&as_listed(name))), "{names:?}");
    let [half, counter, at] = &names;
    let line = format!("{LABEL} (anchor, counter NV {counter}, floor NV {at}, generation 1, NV {half})");
    assert!(place.ok(&["custody", "tpm", "status"]).contains(&line));
    // They are no leftovers, and do not go one by one.
    assert_eq!(place.other_halves(), Vec::<String>::new());
    for index in &names {
        let done = place.run(&["custody", "tpm", "evict", "--nv-index", index, "--yes"]);
        done.says(77, &format!("{index} is the half of a key, or of an anchor"));
    }
    assert_eq!(place.anchor(LABEL).read().unwrap(), Some(floor(1)));
    place.ok(&["custody", "tpm", "evict", LABEL, "--yes"]);
    assert_eq!((place.indices(), place.anchor(LABEL).read().unwrap()), (bare, None));
}

#[test]
fn it_is_read_after_a_reseal_and_a_copy_from_before_opens_nothing() {
    let (place, anchor) = Place::anchored("");
    anchor.advance(&floor(2)).unwrap();
    let old = place.read(format!("tpm/{LABEL}.sealed.json"));
    place.reseal(&[]);
    for anchor in [&anchor, &place.anchor(LABEL)] {
        assert_eq!(anchor.read().unwrap(), Some(floor(2)));
    }
    place.anchor(LABEL).advance(&floor(3)).unwrap();
    place.write(format!("tpm/{LABEL}.sealed.json"), old);
    is_broken(place.anchor(LABEL).read(), "no longer has its half");
}

#[test]
fn it_opens_as_a_sealed_key_does() {
    let (place, anchor) = Place::anchored("pin_file = \"pin\"\n");
    place.anchor(LABEL).advance(&floor(2)).unwrap();
    place.secret("pin", "wrong\n");
    let error = place.anchor(LABEL).read().unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.message.contains("PIN"), "{error:?}");
    place.secret("pin", "7395-right-pin\n");
    assert_eq!(place.anchor(LABEL).read().unwrap(), Some(floor(2)));
    place.swtpm.extend(7, "other firmware");
    let error = place.anchor(LABEL).advance(&floor(3)).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.message.contains("PCR 7"), "{error:?}");
    // Whoever had it before goes on, as with a seed.
    assert_eq!(anchor.read().unwrap(), Some(floor(2)));
}

#[test]
fn a_missing_tpm_is_away() {
    let (place, anchor) = Place::anchored("");
    place.swtpm.stop();
    for anchor in [&anchor, &place.anchor(LABEL)] {
        assert_eq!(anchor.read().unwrap_err().kind, ErrorKind::Away);
        assert_eq!(anchor.advance(&floor(2)).unwrap_err().kind, ErrorKind::Away);
    }
    assert_eq!(place.anchor(OTHER).begin(&floor(2)).unwrap_err().kind, ErrorKind::Away);
    // Other errors are told by their files, and these need no TPM.
    assert_eq!(place.anchor(OTHER).read().unwrap(), None);
    place.swtpm.start();
    place.anchor(LABEL).advance(&floor(2)).unwrap();
}

#[test]
fn its_secret_does_not_pass_and_an_altered_answer_is_not_believed() {
    let (place, anchor) = Place::anchored("");
    // The value of the counter, behind a header and two sizes.
    for byte in 16..24 {
        place.proxy.tamper(super::tpm_proxy::NV_READ, move |response| response[byte] ^= 1);
        assert_eq!(anchor.read().unwrap(), Some(floor(1)));
        assert!(place.proxy.has_tampered());
    }
    anchor.advance(&floor(2)).unwrap();
    let [secret, ..] = place.stolen(LABEL);
    let auth = hex::decode(place.stolen_auth(LABEL)).unwrap();
    assert!(!place.proxy.has_seen(&secret) && !place.proxy.has_seen(&auth));
}

#[test]
fn the_secret_of_an_anchor_wraps_no_data_key() {
    let (place, _anchor) = Place::anchored("");
    let wrapping = place.read(format!("tpm/{LABEL}.sealed.json"));
    place.write(format!("tpm/{WRAPPING}.sealed.json"), wrapping);
    let tpm = Arc::clone(&place.tpm());
    let error = local_vault::custody::tpm::TpmWrappingKey::open(tpm, WRAPPING, "tpm-0000000000000000").unwrap_err();
    assert!(error.message.ends_with("is the secret of an anchor"), "{error:?}");
}
