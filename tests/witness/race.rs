//! Two at once: of one process, of several, and of two that both believe that the state is theirs.

use std::fs;

use local_vault::protocol::witness::{Submission, verify_receipt};
use local_vault::store::StoreError;
use local_vault::witness::{Desk, Request, Verdict, Witness, WitnessError, WitnessReader};

use super::place::{Place, Signed, accept, accepted, replayed};
use super::witness::{checkpoint, rival};

fn request(submission: Submission) -> Request {
    Request::new(submission, "operator")
}

/// Lets another one in that should wait: its lock file is gone.
fn unlock(place: &Place) {
    fs::remove_file(place.state().join("witness.sqlite3.witness-lock")).unwrap();
}

#[tokio::test]
async fn of_two_desks_on_one_state_the_second_to_decide_signs_nothing() {
    for place in [Place::new(), Place::with_floor()] {
        place.accept(&[checkpoint(1, None)]).await;
        let (first, closing) = place.open().unwrap();
        unlock(&place);
        let (second, second_closing) = place.open().unwrap();
        accept(&first, &[checkpoint(2, Some(1))]).await;
        for submission in [rival(2, Some(1)), checkpoint(2, Some(1))] {
            let refused = second.submit(request(submission)).await;
            assert!(matches!(refused, Err(WitnessError::Raced | WitnessError::Store(_))), "{refused:?}");
        }
        accept(&first, &[checkpoint(3, Some(2))]).await;
        closing.close(first).await;
        second_closing.close(second).await;
        let reader = WitnessReader::open(&place.path()).unwrap();
        assert_eq!(reader.counts().unwrap().receipts, 3);
        assert_eq!(reader.counts().unwrap().forks, 0);
        accepted(place.submit(&checkpoint(4, Some(3))).await);
    }
}

/// What the other one has written down may not be anchored yet: it must not get its signature here.
#[tokio::test]
async fn a_desk_whose_state_has_moved_on_answers_no_replay_either() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None)]).await;
    let (first, closing) = place.open().unwrap();
    unlock(&place);
    let (second, second_closing) = place.open().unwrap();
    accept(&first, &[checkpoint(2, Some(1))]).await;
    let refused = second.submit(request(checkpoint(2, Some(1)))).await;
    assert_eq!(refused, Err(WitnessError::Raced));
    closing.close(first).await;
    second_closing.close(second).await;
}

/// Another file may have come to the same count, and know nothing of the stream that is submitted.
#[tokio::test]
async fn a_desk_whose_state_has_the_same_count_and_other_records_signs_nothing() {
    let place = Place::new();
    place.accept(&[checkpoint(1, None)]).await;
    let (desk, closing) = place.open().unwrap();
    let db = rusqlite::Connection::open(place.path()).unwrap();
    db.execute("UPDATE state SET root = zeroblob(32)", []).unwrap();
    let other = Submission { stream_id: "str_2".into(), ..checkpoint(1, None) };
    assert_eq!(desk.submit(request(other)).await, Err(WitnessError::Raced));
    closing.close(desk).await;
    assert_eq!(WitnessReader::open(&place.path()).unwrap().counts().unwrap().receipts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_who_race_on_one_stream_make_one_line_of_history() {
    let place = Place::with_floor();
    let (desk, closing) = place.open().unwrap();
    let racing: Vec<_> = (0..64)
        .map(|racer| {
            let desk = desk.clone();
            tokio::spawn(async move { race(&desk, racer).await })
        })
        .collect();
    let mut signed = Signed::default();
    let (mut accepted, mut forked) = (Vec::new(), 0);
    for racing in racing {
        for verdict in racing.await.unwrap() {
            match verdict {
                Verdict::Accepted(receipt) => accepted.push(receipt),
                Verdict::Forked(_) => forked += 1,
                Verdict::Replayed(_) => panic!("no two submit the same"),
            }
        }
    }
    closing.close(desk).await;
    accepted.iter().for_each(|receipt| signed.see(receipt, &place.key));
    assert_eq!((accepted.len(), forked, signed.forks()), (8, 8 * 63, 0));
    // Each names the one before it.
    let mut line: Vec<_> =
        accepted.iter().map(|receipt| verify_receipt(receipt, place.key.public_key()).unwrap().submission).collect();
    line.sort_by_key(|submission| submission.checkpoint_seq_no);
    for pair in line.windows(2) {
        assert_eq!(pair[1].previous_checkpoint_hash.as_ref(), Some(&pair[0].checkpoint_hash));
    }
}

/// Eight numbers, each on top of whatever was accepted last, which the evidence shows.
async fn race(desk: &Desk, racer: u8) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut head: Option<String> = None;
    for n in 1..=8 {
        let hash = format!("{racer:02x}{n:062x}");
        let submission =
            Submission { checkpoint_hash: hash.clone(), previous_checkpoint_hash: head, ..checkpoint(n, None) };
        let verdict = desk.submit(request(submission)).await.unwrap();
        head = Some(match &verdict {
            Verdict::Forked(evidence) => winner(evidence),
            _ => hash,
        });
        verdicts.push(verdict);
    }
    verdicts
}

fn winner(evidence: &local_vault::protocol::json::Object) -> String {
    let evidence = evidence.get_object("evidence").unwrap();
    local_vault::protocol::witness::ForkEvidence::from_object(evidence).unwrap().head.unwrap().checkpoint_hash
}

#[test]
fn sixty_four_who_open_one_state_in_turn_make_one_line_of_history() {
    let place = Place::with_floor();
    let verdicts: Vec<_> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..64_u8)
            .map(|racer| {
                scope.spawn({
                    let place = &place;
                    move || in_turn(place, racer)
                })
            })
            .collect();
        racing.into_iter().map(|racing| racing.join().unwrap()).collect()
    });
    let mut signed = Signed::default();
    let (mut accepted, mut others) = (0, 0);
    for verdict in verdicts {
        match verdict {
            Ok(Verdict::Accepted(receipt)) => {
                accepted += 1;
                signed.see(&receipt, &place.key);
            }
            Ok(Verdict::Forked(_)) => others += 1,
            // It waits for ten seconds.
            Err(WitnessError::Store(StoreError::Busy(_))) => others += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((accepted, others, signed.forks()), (1, 63, 0));
}

fn in_turn(place: &Place, racer: u8) -> Result<Verdict, WitnessError> {
    let first = Submission { checkpoint_hash: format!("{racer:064x}"), ..checkpoint(1, None) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(place.submit(&first))
}

/// While it waits for its turn, whoever has it may write more than a crash could leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_its_turn_compares_with_the_anchor_as_it_is_then() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None)]).await;
    let (desk, closing) = place.open().unwrap();
    let (path, setup) = (place.path(), place.setup());
    let waits = std::thread::spawn(move || Witness::open(&path, setup).map(drop));
    for round in 0..2 {
        let streams = (0..200).map(|n| {
            let stream = Submission { stream_id: format!("str_{round}_{n}"), ..checkpoint(1, None) };
            let desk = desk.clone();
            tokio::spawn(async move { accepted(desk.submit(request(stream)).await) })
        });
        for accepted in streams.collect::<Vec<_>>() {
            accepted.await.unwrap();
        }
    }
    closing.close(desk).await;
    match waits.join().unwrap() {
        // It waits for ten seconds.
        Ok(()) | Err(WitnessError::Store(StoreError::Busy(_))) => {}
        other => panic!("{other:?}"),
    }
    replayed(place.submit(&checkpoint(1, None)).await);
}
