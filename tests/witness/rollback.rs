//! Each file of the witness is restored, deleted, truncated, swapped and flipped. Then a rival of what was signed is
//! offered, what was signed, and what honestly comes next.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use local_vault::custody::SharedSigningKey;
use local_vault::protocol::json::Object;
use local_vault::witness::{Desk, Request, Verdict, What, Witness, WitnessError};

use super::place::{Place, Signed, accept, copy, incident};
use super::witness::{checkpoint, rival};

/// A witness that signed three checkpoints, with copies of its files as they were after the second and after the third,
/// both of a running process: as `kill -9` leaves them.
pub(crate) struct Past {
    pub(crate) place: Place,
    signed: Signed,
    receipts: Vec<Object>,
}

/// What became of a state that somebody changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It was not opened. The incident's name, or `error` where it is none.
    Refused(String),
    /// It was opened, and what was changed was found later.
    RefusedLater,
    /// It was opened, and answered everything as if nothing had happened.
    WentOn,
}

impl Past {
    pub(crate) async fn new(place: Place) -> Self {
        let (desk, closing) = place.open().unwrap();
        let mut receipts = accept(&desk, &[checkpoint(1, None), checkpoint(2, Some(1))]).await;
        settled(&desk).await;
        copy(&place.state(), &place.aside("old-state"));
        copy(&place.disk(), &place.aside("old-disk"));
        receipts.extend(accept(&desk, &[checkpoint(3, Some(2))]).await);
        settled(&desk).await;
        copy(&place.state(), &place.aside("now-state"));
        copy(&place.disk(), &place.aside("now-disk"));
        closing.close(desk).await;
        let mut signed = Signed::default();
        receipts.iter().for_each(|receipt| signed.see(receipt, &place.key));
        Self { place, signed, receipts }
    }

    /// The same, and its process ended by itself.
    async fn closed(place: Place) -> Self {
        let past = Self::new(place).await;
        for moment in ["old", "now"] {
            past.restore(moment);
            let (desk, closing) = past.place.open().unwrap();
            closing.close(desk).await;
            copy(&past.place.state(), &past.aside(moment, "state"));
        }
        past
    }

    pub(crate) fn aside(&self, moment: &str, what: &str) -> PathBuf {
        self.place.aside(&format!("{moment}-{what}"))
    }

    pub(crate) fn restore(&self, moment: &str) {
        copy(&self.aside(moment, "state"), &self.place.state());
        copy(&self.aside(moment, "disk"), &self.place.disk());
    }

    /// Changes the state as it was after the third checkpoint, offers everything, and sees what is signed.
    pub(crate) async fn after(&self, change: impl FnOnce(&Place)) -> (Outcome, Signed) {
        self.restore("now");
        change(&self.place);
        let mut signed = self.signed.clone();
        let (desk, closing) = match self.place.open() {
            Ok(started) => started,
            Err(WitnessError::Incident(incident)) => return (Outcome::Refused(incident.what.name().into()), signed),
            Err(_) => return (Outcome::Refused("error".into()), signed),
        };
        let goes_on = self.offer(&desk, &mut signed).await;
        closing.close(desk).await;
        (if goes_on { Outcome::WentOn } else { Outcome::RefusedLater }, signed)
    }

    /// True where each was answered. What honestly comes is never taken for a fork.
    async fn offer(&self, desk: &Desk, signed: &mut Signed) -> bool {
        let mut goes_on = true;
        for (n, first) in self.receipts.iter().enumerate() {
            let n = i64::try_from(n).unwrap() + 1;
            let again = desk.submit(Request::new(checkpoint(n, (n > 1).then_some(n - 1)), "operator")).await;
            match &again {
                Ok(Verdict::Replayed(receipt)) => assert_eq!(receipt, first),
                // A state of before it was signed.
                Ok(Verdict::Accepted(_)) => {}
                Ok(Verdict::Forked(_)) => panic!("who submitted number {n} again is called a forger"),
                Err(_) => goes_on = false,
            }
            see(signed, again, &self.place.key);
        }
        for rival in [rival(3, Some(2)), rival(2, Some(1)), rival(1, None)] {
            let verdict = desk.submit(Request::new(rival, "operator")).await;
            goes_on &= verdict.is_ok();
            see(signed, verdict, &self.place.key);
        }
        let next = desk.submit(Request::new(checkpoint(4, Some(3)), "operator")).await;
        assert!(!matches!(next, Ok(Verdict::Forked(_))), "what honestly comes next is called a fork");
        goes_on &= next.is_ok();
        see(signed, next, &self.place.key);
        goes_on
    }

    /// The same with the rivals first, as whoever rolled it back would have it.
    pub(crate) async fn rivals_after(&self, change: impl FnOnce(&Place)) -> Result<Signed, WitnessError> {
        self.restore("now");
        change(&self.place);
        let mut signed = self.signed.clone();
        let (desk, closing) = self.place.open()?;
        for rival in [rival(3, Some(2)), rival(2, Some(1)), rival(1, None)] {
            see(&mut signed, desk.submit(Request::new(rival, "operator")).await, &self.place.key);
        }
        closing.close(desk).await;
        Ok(signed)
    }
}

fn see(signed: &mut Signed, verdict: Result<Verdict, WitnessError>, key: &SharedSigningKey) {
    if let Ok(Verdict::Accepted(receipt) | Verdict::Replayed(receipt)) = verdict {
        signed.see(&receipt, key);
    }
}

/// Waits until signatures are written down too, which nobody waits for: what is decided next comes behind them.
async fn settled(desk: &Desk) {
    let stray = local_vault::witness::Change::Accept {
        what: What::RolledBack,
        allowed_by: "nobody".into(),
        reason: "none".into(),
    };
    desk.change(stray).await.unwrap_err();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

type Act<'a> = Box<dyn Fn(&Place) + 'a>;

/// Everything that is done to one file of the state.
fn acts(past: &Past, name: &str, other: &Path) -> Vec<(&'static str, Act<'static>)> {
    let file = past.place.state().join(name);
    let (old, other) = (past.aside("old", "state").join(name), other.join(name));
    let truncated = |to: fn(u64) -> u64| {
        let file = file.clone();
        Box::new(move |_: &Place| {
            let opened = fs::OpenOptions::new().write(true).open(&file).unwrap();
            opened.set_len(to(opened.metadata().unwrap().len())).unwrap();
        })
    };
    let replaced = |from: PathBuf| {
        let file = file.clone();
        Box::new(move |_: &Place| {
            fs::copy(&from, &file).unwrap();
        })
    };
    let gone = file.clone();
    vec![
        ("restored", replaced(old)),
        ("swapped", replaced(other)),
        ("emptied", truncated(|_| 0)),
        ("halved", truncated(|length| length / 2)),
        ("deleted", Box::new(move |_| fs::remove_file(&gone).unwrap())),
    ]
}

#[tokio::test]
async fn whatever_happens_to_a_file_nothing_is_signed_twice_where_the_floor_lies_on_another_disk() {
    let other = Past::new(Place::with_floor()).await;
    for past in [Past::new(Place::with_floor()).await, Past::closed(Place::with_floor()).await] {
        let mut outcomes = BTreeMap::new();
        for name in names(&past.aside("now", "state")) {
            if !past.aside("old", "state").join(&name).exists() {
                continue;
            }
            for (act, change) in acts(&past, &name, &other.aside("now", "state")) {
                let (outcome, signed) = past.after(&*change).await;
                assert_eq!(signed.forks(), 0, "{name} {act}: {outcome:?}");
                if let Ok(signed) = past.rivals_after(&*change).await {
                    assert_eq!(signed.forks(), 0, "{name} {act}, rivals first");
                }
                outcomes.insert((name.clone(), act), outcome);
            }
        }
        // Locks and the index of the log hold nothing that is believed; and as long as every page is in the log, so
        // does the file itself.
        let has_log = past.aside("now", "state").join("witness.sqlite3-wal").exists();
        let holds = if has_log { "witness.sqlite3-wal" } else { "witness.sqlite3" };
        for ((name, act), outcome) in &outcomes {
            let went_on = *outcome == Outcome::WentOn;
            let is_incident = matches!(outcome, Outcome::Refused(what) if What::from_name(what).is_some());
            let is_right = match name.as_str() {
                name if name == holds => is_incident,
                "witness.sqlite3" => went_on || is_incident,
                _ => went_on,
            };
            assert!(is_right, "{name} {act}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_state_that_is_restored_deleted_or_swapped_as_a_whole_is_an_incident_of_that_name() {
    let other = Past::new(Place::with_floor()).await;
    let other = other.aside("now", "state");
    for past in [Past::new(Place::with_floor()).await, Past::closed(Place::with_floor()).await] {
        let old = past.aside("old", "state");
        let cases: [(What, Act<'_>); 4] = [
            (What::RolledBack, Box::new(|place| copy(&old, &place.state()))),
            (
                What::StateLost,
                Box::new(|place| {
                    fs::remove_dir_all(place.state()).and_then(|()| fs::create_dir(place.state())).unwrap()
                }),
            ),
            (What::OtherHistory, Box::new(|place| copy(&other, &place.state()))),
            (What::AnchorMissing, Box::new(|place| fs::remove_file(place.floor().0).unwrap())),
        ];
        for (what, change) in cases {
            past.restore("now");
            change(&past.place);
            assert_eq!(incident(past.place.open()), what);
            // Nothing was made or changed by looking.
            assert_eq!(incident(past.place.open()), what);
        }
    }
}

#[tokio::test]
async fn a_floor_that_is_damaged_or_anothers_is_never_taken_for_one_that_is_missing() {
    let past = Past::new(Place::with_floor()).await;
    let stranger = Past::new(Place::with_floor().with_key(8)).await;
    let strangers = fs::read(stranger.place.floor().0).unwrap();
    let bytes = fs::read(past.place.floor().0).unwrap();
    let mut damaged = vec![Vec::new(), bytes[..bytes.len() / 2].to_vec(), strangers];
    damaged.extend((0..bytes.len()).step_by(7).map(|at| flipped(&bytes, at, at % 8)));
    for bytes in damaged {
        past.restore("now");
        fs::write(past.place.floor().0, bytes).unwrap();
        let refused = past.place.open();
        assert!(matches!(refused, Err(WitnessError::Custody(_))), "{refused:?}");
    }
}

/// What `rewritable` says, and why it is no anchor.
#[tokio::test]
async fn a_floor_that_is_restored_with_the_state_finds_nothing() {
    let past = Past::new(Place::with_floor()).await;
    past.restore("old");
    let signed = past.rivals_after(|_| past.restore("old")).await.unwrap();
    assert_eq!(signed.forks(), 1);
    // Set back alone, it is taken for one that a crash kept from following: what the state knows is not signed again.
    let floor = past.aside("old", "disk");
    let signed = past.rivals_after(|place| copy(&floor, &place.disk())).await.unwrap();
    assert_eq!(signed.forks(), 0);
}

/// What `anchor = "none"` says: nothing tells a restored copy from the state itself.
#[tokio::test]
async fn without_an_anchor_a_restored_or_deleted_state_signs_the_rival() {
    for past in [Past::new(Place::new()).await, Past::closed(Place::new()).await] {
        let old = past.aside("old", "state");
        let signed = past.rivals_after(|place| copy(&old, &place.state())).await.unwrap();
        assert_eq!(signed.forks(), 1);
        let deleted = |place: &Place| fs::remove_dir_all(place.state()).and_then(|()| fs::create_dir(place.state()));
        let signed = past.rivals_after(|place| deleted(place).unwrap()).await.unwrap();
        assert_eq!(signed.forks(), 1, "the first is taken as it comes, and the others contradict it");
    }
}

fn flipped(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes
}

/// How many bits of each file. `ci/soak` asks for more.
fn flips() -> usize {
    env::var("LOCAL_VAULT_FLIPS").map_or(60, |flips| flips.parse().unwrap())
}

#[tokio::test]
async fn a_flipped_bit_signs_nothing_twice_with_a_floor_or_without() {
    for place in [Place::with_floor(), Place::new().unsealed(), Place::with_floor().unsealed()] {
        let past = Past::closed(place).await;
        let bytes = fs::read(past.aside("now", "state").join("witness.sqlite3")).unwrap();
        // Over all of the file, and not the same bit of each page.
        let stride = (bytes.len() / flips()).max(1) | 1;
        for (bit, at) in (0..bytes.len()).step_by(stride).enumerate() {
            let bytes = flipped(&bytes, at, bit % 8);
            let flip = |place: &Place| fs::write(place.path(), &bytes).unwrap();
            let (_, signed) = past.after(flip).await;
            assert_eq!(signed.forks(), 0, "bit {} of byte {at}", bit % 8);
            if let Ok(signed) = past.rivals_after(flip).await {
                assert_eq!(signed.forks(), 0, "bit {} of byte {at}, rivals first", bit % 8);
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_of_the_log_signs_nothing_twice_where_there_is_a_floor() {
    let past = Past::new(Place::with_floor()).await;
    let name = "witness.sqlite3-wal";
    let bytes = fs::read(past.aside("now", "state").join(name)).unwrap();
    let stride = (bytes.len() / flips()).max(1) | 1;
    for (bit, at) in (0..bytes.len()).step_by(stride).enumerate() {
        let bytes = flipped(&bytes, at, bit % 8);
        let (outcome, signed) = past.after(|place| fs::write(place.state().join(name), &bytes).unwrap()).await;
        assert_eq!(signed.forks(), 0, "bit {} of byte {at}: {outcome:?}", bit % 8);
    }
}

#[tokio::test]
async fn a_witness_that_may_look_only_is_not_made_by_looking() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None)]).await;
    fs::remove_dir_all(place.state()).and_then(|()| fs::create_dir(place.state())).unwrap();
    assert_eq!(incident(Witness::open(&place.path(), place.setup())), What::StateLost);
    assert_eq!(names(&place.state()), Vec::<String>::new());
}
