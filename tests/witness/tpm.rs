//! The state is rolled back, and its anchor is a counter in a TPM: what no copy brings back.

use std::fs;
use std::sync::Arc;

use local_vault::custody::tpm::TpmAnchor;
use local_vault::witness::What;

use super::custody::tpm::FreshTpm;
use super::place::{Place, copy, incident};
use super::rollback::{Outcome, Past};

/// What is done to a state, and what it is called.
type Case = (What, fn(&Past, &Place));

const LOG: &str = "witness.sqlite3-wal";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_under_a_counter_in_a_tpm_is_refused_and_signs_nothing() {
    let tpm = FreshTpm::new();
    let cases: [Case; 8] = [
        (What::RolledBack, |past, place| copy(&past.aside("old", "state"), &place.state())),
        (What::StateLost, |_, place| {
            fs::remove_dir_all(place.state()).and_then(|()| fs::create_dir(place.state())).unwrap()
        }),
        (What::RolledBack, |past, place| {
            fs::copy(past.aside("old", "state").join(LOG), place.state().join(LOG)).map(drop).unwrap();
        }),
        (What::RolledBack, |_, place| halve(place, LOG)),
        (What::StateLost, |_, place| fs::remove_file(place.state().join(LOG)).unwrap()),
        (What::StateLost, |_, place| fs::write(place.state().join(LOG), "").unwrap()),
        (What::StateLost, |_, place| fs::remove_file(place.path()).unwrap()),
        (What::OtherHistory, |_, place| {
            // Of the same key, with as many records.
            let other =
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(Past::new(Place::new())));
            copy(&other.aside("now", "state"), &place.state());
        }),
    ];
    for (number, (what, change)) in cases.into_iter().enumerate() {
        let anchor = Arc::new(TpmAnchor::new(tpm.tpm.clone(), &format!("witness-{number}")));
        let past = Past::new(Place::new().anchored(anchor)).await;
        past.restore("now");
        change(&past, &past.place);
        assert_eq!(incident(past.place.open()), what, "case {number}");
        // And what was there before it is honestly gone on with.
        let (outcome, signed) = past.after(|_| {}).await;
        assert_eq!((outcome, signed.forks()), (Outcome::WentOn, 0), "case {number}");
    }
}

fn halve(place: &Place, name: &str) {
    let file = fs::OpenOptions::new().write(true).open(place.state().join(name)).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}
