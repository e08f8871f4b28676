//! The anchor, the key or the disk fails: nothing is signed that is not anchored, nothing is lost, and it goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use local_vault::custody::{CustodyError, ErrorKind};
use local_vault::protocol::witness::Submission;
use local_vault::store::StoreError;
use local_vault::witness::{Closing, Desk, Request, Setup, Verdict, What, Witness, WitnessError, WitnessReader};

use super::device::{CountingKey, Device, Fault};
use super::place::{Place, accept, accepted, copy, incident, replayed};
use super::small_disk::SmallDisk;
use super::witness::{self, checkpoint, rival};

struct Bench {
    place: Place,
    device: Arc<Device>,
    key: Arc<CountingKey>,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let key = CountingKey::new(place.key.clone());
        Self { place, device: Device::new(), key }
    }

    fn setup(&self) -> Setup {
        let signers = vec![witness::signer("k", self.key.clone())];
        Setup { signers, anchor: Some(self.device.clone()), ..self.place.setup() }
    }

    fn open(&self, anchor_interval: Duration) -> Result<(Desk, Closing), WitnessError> {
        Desk::start(Witness::open(&self.place.path(), Setup { anchor_interval, ..self.setup() })?)
    }

    /// How far the state has come, signed or not.
    fn records(&self) -> u64 {
        let db = rusqlite::Connection::open(self.place.path()).unwrap();
        db.query_row("SELECT count FROM state", [], |row| row.get(0)).unwrap()
    }
}

async fn submit(desk: &Desk, submission: Submission) -> Result<Verdict, WitnessError> {
    desk.submit(Request::new(submission, "operator")).await
}

fn is_away(refused: &Result<Verdict, WitnessError>) -> bool {
    matches!(refused, Err(WitnessError::Custody(CustodyError { kind: ErrorKind::Away, .. })))
}

#[tokio::test]
async fn while_the_anchor_fails_nothing_is_signed_and_one_turn_at_most_is_ahead_of_it() {
    for fault in [Fault::Away, Fault::Late] {
        let bench = Bench::new();
        let (desk, closing) = bench.open(Duration::ZERO).unwrap();
        accept(&desk, &[checkpoint(1, None)]).await;
        let (signed, records) = (bench.key.signed(), bench.records());
        bench.device.fails(fault);
        // Whoever asks: for what is new, a rival of it, what was accepted, and what comes after.
        for submission in [checkpoint(2, Some(1)), rival(2, Some(1)), checkpoint(2, Some(1)), checkpoint(3, Some(2))] {
            let refused = submit(&desk, submission).await;
            assert!(is_away(&refused), "{refused:?}");
        }
        assert_eq!((bench.key.signed(), bench.records()), (signed, records + 1));
        bench.device.fails(Fault::None);
        let first = replayed(submit(&desk, checkpoint(2, Some(1))).await);
        assert!(matches!(submit(&desk, rival(2, Some(1))).await, Ok(Verdict::Forked(_))));
        assert_eq!(replayed(submit(&desk, checkpoint(2, Some(1))).await), first);
        accepted(submit(&desk, checkpoint(3, Some(2))).await);
        closing.close(desk).await;
        assert_eq!(bench.device.count(), bench.records());
    }
}

#[tokio::test]
async fn what_was_left_ahead_of_the_anchor_is_answered_by_the_next_process() {
    for fault in [Fault::Away, Fault::Late] {
        let bench = Bench::new();
        let (desk, closing) = bench.open(Duration::ZERO).unwrap();
        accept(&desk, &[checkpoint(1, None)]).await;
        bench.device.fails(fault);
        assert!(is_away(&submit(&desk, checkpoint(2, Some(1))).await));
        closing.close(desk).await;
        let signed = bench.key.signed();
        bench.device.fails(Fault::None);
        let (desk, closing) = bench.open(Duration::ZERO).unwrap();
        replayed(submit(&desk, checkpoint(2, Some(1))).await);
        assert_eq!(bench.key.signed(), signed + 1);
        closing.close(desk).await;
    }
}

#[tokio::test]
async fn without_its_anchor_a_witness_does_not_open() {
    let bench = Bench::new();
    let (desk, closing) = bench.open(Duration::ZERO).unwrap();
    accept(&desk, &[checkpoint(1, None)]).await;
    closing.close(desk).await;
    bench.device.fails(Fault::Away);
    let refused = bench.open(Duration::ZERO).map(drop);
    assert!(matches!(&refused, Err(WitnessError::Custody(e)) if e.kind == ErrorKind::Away), "{refused:?}");
}

/// An interval is a window of that length and not of any.
#[tokio::test]
async fn behind_the_interval_an_anchor_that_fails_keeps_it_from_signing() {
    let bench = Bench::new();
    // Over before anything is decided.
    let (desk, closing) = bench.open(Duration::from_nanos(1)).unwrap();
    accept(&desk, &[checkpoint(1, None)]).await;
    let signed = bench.key.signed();
    bench.device.fails(Fault::Away);
    for submission in [checkpoint(2, Some(1)), checkpoint(2, Some(1)), rival(2, Some(1))] {
        let refused = submit(&desk, submission).await;
        assert!(is_away(&refused), "{refused:?}");
    }
    assert_eq!(bench.key.signed(), signed);
    bench.device.fails(Fault::None);
    replayed(submit(&desk, checkpoint(2, Some(1))).await);
    closing.close(desk).await;
    assert_eq!(bench.device.count(), bench.records());
}

/// A TPM is not to be kept busy with what fails.
#[tokio::test]
async fn an_anchor_that_fails_is_asked_once_an_interval_while_nobody_submits() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let bench = Bench::new();
    let (desk, closing) = bench.open(INTERVAL).unwrap();
    bench.device.fails(Fault::Away);
    // Signed within the interval or refused behind it.
    let _ = submit(&desk, checkpoint(1, None)).await;
    let (before, began) = (bench.device.steps(), Instant::now());
    while bench.device.steps() < before + 4 {
        tokio::task::yield_now().await;
    }
    // However slow this machine is, three intervals lie between the four.
    assert!(began.elapsed() >= INTERVAL * 3);
    bench.device.fails(Fault::None);
    while bench.device.count() < bench.records() {
        tokio::task::yield_now().await;
    }
    closing.close(desk).await;
}

/// What the interval costs, and why nobody has one who did not ask for it.
#[tokio::test]
async fn within_the_interval_a_state_that_is_rolled_back_signs_the_rival_and_behind_it_it_is_an_incident() {
    for (at_the_end, is_found) in [(Fault::Away, false), (Fault::None, true)] {
        let bench = Bench::new();
        let open = || bench.open(Duration::from_secs(3600));
        let (desk, closing) = open().unwrap();
        accept(&desk, &[checkpoint(1, None)]).await;
        closing.close(desk).await;
        copy(&bench.place.state(), &bench.place.aside("old"));
        let (desk, closing) = open().unwrap();
        accept(&desk, &[checkpoint(2, Some(1))]).await;
        // Where it fails it stays where it was, as with kill -9.
        bench.device.fails(at_the_end);
        closing.close(desk).await;
        bench.device.fails(Fault::None);
        copy(&bench.place.aside("old"), &bench.place.state());
        if is_found {
            assert_eq!(incident(open()), What::RolledBack);
            continue;
        }
        let (desk, closing) = open().unwrap();
        accepted(submit(&desk, rival(2, Some(1))).await);
        closing.close(desk).await;
    }
}

#[tokio::test]
async fn while_the_key_is_away_what_was_decided_is_kept_and_nobody_elses_answer_waits() {
    let bench = Bench::new();
    let (desk, closing) = bench.open(Duration::ZERO).unwrap();
    let first = accept(&desk, &[checkpoint(1, None)]).await.remove(0);
    bench.key.goes_away(true);
    let refused = submit(&desk, checkpoint(2, Some(1))).await;
    assert!(matches!(refused, Err(WitnessError::Sign(_))), "{refused:?}");
    assert!(matches!(submit(&desk, rival(2, Some(1))).await, Err(WitnessError::Sign(_))));
    // What was signed before needs no key.
    assert_eq!(replayed(submit(&desk, checkpoint(1, None)).await), first);
    bench.key.goes_away(false);
    replayed(submit(&desk, checkpoint(2, Some(1))).await);
    assert!(matches!(submit(&desk, rival(2, Some(1))).await, Ok(Verdict::Forked(_))));
    closing.close(desk).await;
    let counts = WitnessReader::open(&bench.place.path()).unwrap().counts().unwrap();
    assert_eq!((counts.receipts, counts.forks), (2, 1));
}

#[tokio::test]
async fn a_state_behind_a_device_is_an_incident_and_the_device_is_left_as_it_is() {
    let bench = Bench::new();
    let (desk, closing) = bench.open(Duration::ZERO).unwrap();
    accept(&desk, &[checkpoint(1, None)]).await;
    closing.close(desk).await;
    copy(&bench.place.state(), &bench.place.aside("old"));
    let (desk, closing) = bench.open(Duration::ZERO).unwrap();
    accept(&desk, &[checkpoint(2, Some(1))]).await;
    closing.close(desk).await;
    copy(&bench.place.aside("old"), &bench.place.state());
    let (steps, count) = (bench.device.steps(), bench.device.count());
    assert_eq!(incident(bench.open(Duration::ZERO)), What::RolledBack);
    assert_eq!((bench.device.steps(), bench.device.count()), (steps, count));
}

#[tokio::test]
async fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    let place = Place::with_floor();
    let folder = place.state();
    let Some(disk) = SmallDisk::mount(&folder, "1m") else { return };
    let (desk, closing) = place.open().unwrap();
    let mut receipts = Vec::new();
    let refused = loop {
        let n = i64::try_from(receipts.len()).unwrap() + 1;
        match submit(&desk, checkpoint(n, (n > 1).then_some(n - 1))).await {
            Ok(Verdict::Accepted(receipt)) => receipts.push(receipt),
            other => break other,
        }
    };
    assert!(receipts.len() > 3, "{} fitted", receipts.len());
    assert_eq!(refused, Err(WitnessError::Store(StoreError::Full)));
    disk.grow("64m");
    let n = i64::try_from(receipts.len()).unwrap() + 1;
    receipts.push(accepted(submit(&desk, checkpoint(n, Some(n - 1))).await));
    for (n, receipt) in (1..).zip(&receipts) {
        assert_eq!(replayed(submit(&desk, checkpoint(n, (n > 1).then_some(n - 1))).await), *receipt);
    }
    closing.close(desk).await;
    accepted(place.submit(&checkpoint(n + 1, Some(n))).await);
}
