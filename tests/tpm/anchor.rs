//! A floor in the TPM rises and does not fall, whoever has the owner hierarchy, and whenever the power goes.

mod crash;
mod outsider;

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
fn the_secret_of_an_anchor_wraps_no_data_key() {
    let (place, _anchor) = Place::anchored("");
    let wrapping = place.read(format!("tpm/{LABEL}.sealed.json"));
    place.write(format!("tpm/{WRAPPING}.sealed.json"), wrapping);
    let tpm = Arc::clone(&place.tpm());
    let error = local_vault::custody::tpm::TpmWrappingKey::open(tpm, WRAPPING, "tpm-0000000000000000").unwrap_err();
    assert!(error.message.ends_with("is the secret of an anchor"), "{error:?}");
}
