//! What holds beyond the published rules, through the desk: times, jumps, submitters, floors, and what operators change.

use std::sync::Arc;

use local_vault::custody::SharedSigningKey;
use local_vault::facts::Timestamp;
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::{Head, Refusal, Rules, Statement, Submission, SubmitterSignature, verify_receipt};
use local_vault::witness::{
    Change, Class, Desk, GuardedClock, Request, Setup, StreamName, Verdict, What, Witness, WitnessError, WitnessReader,
};

use super::custody::signing_key;
use super::place::{Place, accept, accepted, copy, incident, replayed};
use super::witness::{self, Told, checkpoint, rival};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

type Answer = Result<Verdict, WitnessError>;

async fn submit(desk: &Desk, submission: Submission) -> Answer {
    desk.submit(Request::new(submission, "operator")).await
}

fn refusal(answer: Answer) -> Refusal {
    match answer {
        Err(WitnessError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn is_fork(answer: &Answer) -> bool {
    matches!(answer, Ok(Verdict::Forked(_)))
}

fn start(place: &Place, setup: Setup) -> (Desk, local_vault::witness::Closing) {
    Desk::start(Witness::open(&place.path(), setup).unwrap()).unwrap()
}

fn stream() -> StreamName {
    StreamName::from(&checkpoint(1, None))
}

fn head(n: i64) -> Head {
    let Submission { checkpoint_id, checkpoint_seq_no, checkpoint_hash, .. } = checkpoint(n, None);
    Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash }
}

fn reoriginated(n: i64) -> Change {
    Change::Reoriginate { stream: stream(), head: head(n), allowed_by: "ann".into(), reason: "it was restored".into() }
}

fn added(submitter: Option<&str>, key: Option<&SharedSigningKey>) -> Change {
    Change::AddStream {
        stream: stream(),
        submitter: submitter.map(str::to_owned),
        submitter_key: key.map(|key| key.public_key().clone()),
        consent: "contract 7".into(),
    }
}

fn signed(submission: Submission, key: &SharedSigningKey) -> Request {
    let signature = key.sign(&SubmitterSignature::preimage(&submission)).unwrap();
    let signature = SubmitterSignature { public_key: key.public_key().clone(), signature };
    Request { signature: Some(signature), ..Request::new(submission, "operator") }
}

#[tokio::test]
async fn a_clock_that_goes_back_a_little_stands_still_and_one_that_goes_back_far_signs_nothing() {
    let place = Place::new();
    let clock = Told::at(NOW);
    let setup = || Setup { times: Arc::new(GuardedClock(clock.clone())), ..place.setup() };
    let (desk, closing) = start(&place, setup());
    let time = |receipt: &Object| verify_receipt(receipt, place.key.public_key()).unwrap().accepted_at;
    assert_eq!(time(&accepted(submit(&desk, checkpoint(1, None)).await)), NOW);
    clock.set(NOW.plus_millis(-30_000));
    assert_eq!(time(&accepted(submit(&desk, checkpoint(2, Some(1))).await)), NOW);
    closing.close(desk).await;
    clock.set(NOW.plus_millis(-60_001));
    // Over a restart too.
    let (desk, closing) = start(&place, setup());
    assert_eq!(refusal(submit(&desk, checkpoint(3, Some(2))).await), Refusal::ClockBehind);
    assert_eq!(refusal(submit(&desk, rival(2, Some(1))).await), Refusal::ClockBehind);
    // What was signed needs no time.
    replayed(submit(&desk, checkpoint(2, Some(1))).await);
    clock.set(NOW.plus_millis(1));
    accepted(submit(&desk, checkpoint(3, Some(2))).await);
    closing.close(desk).await;
    assert_eq!(WitnessReader::open(&place.path()).unwrap().counts().unwrap().forks, 0);
}

#[tokio::test]
async fn a_number_that_jumps_too_far_changes_nothing_until_an_operator_begins_the_stream_anew() {
    let place = Place::with_floor();
    let rules = Rules { first_use: true, longest_jump: Some(10), evidence_each_time: false };
    let (desk, closing) = start(&place, Setup { rules, ..place.setup() });
    accept(&desk, &[checkpoint(1, None), checkpoint(11, Some(1))]).await;
    for n in [22, i64::MAX] {
        assert_eq!(refusal(submit(&desk, checkpoint(n, Some(11))).await), Refusal::Jump);
    }
    desk.change(reoriginated(1000)).await.unwrap();
    accepted(submit(&desk, checkpoint(1001, Some(1000))).await);
    for n in [20, 1000] {
        assert_eq!(refusal(submit(&desk, checkpoint(n, Some(11))).await), Refusal::BelowFloor);
    }
    assert!(is_fork(&submit(&desk, rival(1000, Some(11))).await));
    closing.close(desk).await;
    accepted(place.submit(&checkpoint(1002, Some(1001))).await);
}

#[tokio::test]
async fn behind_a_new_origin_numbers_are_used_again_and_what_lies_before_it_is_no_evidence() {
    let place = Place::new();
    let (desk, closing) = place.open().unwrap();
    let first = accept(&desk, &[checkpoint(1, None), checkpoint(2, Some(1)), checkpoint(3, Some(2))]).await;
    desk.change(reoriginated(2)).await.unwrap();
    assert_eq!(refusal(submit(&desk, checkpoint(1, None)).await), Refusal::BelowFloor);
    assert!(is_fork(&submit(&desk, rival(2, Some(1))).await));
    let third = Submission { checkpoint_hash: "3c".repeat(32), ..checkpoint(3, Some(2)) };
    accepted(submit(&desk, third.clone()).await);
    replayed(submit(&desk, third).await);
    // The receipt of the first origin is one that the state knows.
    let again = Request { known: vec![first[2].clone()], ..Request::new(checkpoint(3, Some(2)), "operator") };
    assert!(is_fork(&desk.submit(again).await));
    closing.close(desk).await;
}

#[tokio::test]
async fn a_stream_that_nobody_added_is_refused_and_one_that_was_is_its_submitters_alone() {
    let place = Place::new();
    let rules = Rules { first_use: false, longest_jump: None, evidence_each_time: false };
    let (desk, closing) = start(&place, Setup { rules, ..place.setup() });
    let by = |submission: Submission, caller: &str| desk.submit(Request::new(submission, caller));
    assert_eq!(refusal(by(checkpoint(1, None), "operator").await), Refusal::UnknownStream);
    desk.change(added(Some("sub"), None)).await.unwrap();
    assert!(matches!(desk.change(added(Some("mallory"), None)).await, Err(WitnessError::Change(_))));
    assert_eq!(refusal(by(checkpoint(1, None), "mallory").await), Refusal::NotTheSubmitter);
    accepted(by(checkpoint(1, None), "sub").await);
    // Neither a fork nor a replay tells a stranger anything.
    for submission in [rival(1, None), checkpoint(1, None)] {
        assert_eq!(refusal(by(submission, "mallory").await), Refusal::NotTheSubmitter);
    }
    closing.close(desk).await;
    let counts = WitnessReader::open(&place.path()).unwrap().counts().unwrap();
    assert_eq!((counts.receipts, counts.forks), (1, 0));
}

#[tokio::test]
async fn a_stream_that_was_made_of_what_a_peer_has_is_given_its_submitter_and_keeps_its_floor() {
    let place = Place::with_floor();
    let (desk, closing) = place.open().unwrap();
    let raise = Change::Raise { heads: vec![held_by_peer(5, "str_1")], unknown_as: Some("ins_1".into()) };
    desk.change(raise).await.unwrap();
    assert!(matches!(desk.change(added(None, None)).await, Err(WitnessError::Change(_))));
    desk.change(added(Some("sub"), None)).await.unwrap();
    assert!(matches!(desk.change(added(Some("mallory"), None)).await, Err(WitnessError::Change(_))));
    closing.close(desk).await;
    // What it is now is authenticated too.
    let (desk, closing) = place.open().unwrap();
    let by = |submission: Submission, caller: &str| desk.submit(Request::new(submission, caller));
    assert_eq!(refusal(by(checkpoint(6, Some(5)), "operator").await), Refusal::NotTheSubmitter);
    assert_eq!(refusal(by(checkpoint(4, None), "sub").await), Refusal::BelowFloor);
    accepted(by(checkpoint(6, Some(5)), "sub").await);
    closing.close(desk).await;
}

/// A peer that has not begun it anew, or lies, must not undo the ceremony with the next start.
#[tokio::test]
async fn what_a_peer_witnessed_before_a_stream_was_begun_anew_is_no_floor_of_it() {
    let place = Place::new();
    let (desk, closing) = start(&place, Setup { times: Told::at(NOW), ..place.setup() });
    accept(&desk, &[checkpoint(1, None), checkpoint(2, Some(1)), checkpoint(900, Some(2))]).await;
    desk.change(reoriginated(2)).await.unwrap();
    let at = |time| {
        let (peer, statement) = held_by_peer(900, "str_1");
        vec![(peer, Statement { accepted_at: time, ..statement })]
    };
    let raise = |heads| Change::Raise { heads, unknown_as: None };
    desk.change(raise(at(NOW))).await.unwrap();
    accepted(submit(&desk, checkpoint(3, Some(2))).await);
    desk.change(raise(at(NOW.plus_millis(1)))).await.unwrap();
    assert_eq!(refusal(submit(&desk, checkpoint(4, Some(3))).await), Refusal::BelowFloor);
    closing.close(desk).await;
    let mut own = Vec::new();
    WitnessReader::open(&place.path()).unwrap().streams(|stream| own.push(stream)).unwrap();
    for (time, ahead) in [(NOW, 0), (NOW.plus_millis(1), 1)] {
        let higher = at(time).into_iter().map(|(peer, s)| {
            let submission = Submission { checkpoint_seq_no: 901, ..s.submission };
            (peer, Statement { submission, ..s })
        });
        assert_eq!(local_vault::witness::is_ahead(&own, &higher.collect::<Vec<_>>(), None).len(), ahead);
    }
}

#[tokio::test]
async fn two_heads_that_one_key_signed_are_proof_and_anything_less_is_a_claim() {
    let (own, other) = (signing_key(20), signing_key(21));
    let plain = |submission| Request::new(submission, "operator");
    let cases = [
        (signed(checkpoint(2, Some(1)), &own), signed(rival(2, Some(1)), &own), Class::Proof),
        (signed(checkpoint(2, Some(1)), &own), signed(rival(2, Some(1)), &other), Class::Claim),
        (signed(checkpoint(2, Some(1)), &own), plain(rival(2, Some(1))), Class::Claim),
        (plain(checkpoint(2, Some(1))), signed(rival(2, Some(1)), &own), Class::Claim),
        // Another number than any that was receipted contradicts a head, and no two heads are of one number.
        (signed(checkpoint(2, Some(1)), &own), signed(checkpoint(3, Some(1)), &own), Class::Claim),
    ];
    for (first, second, class) in cases {
        let place = Place::new();
        let (desk, closing) = place.open().unwrap();
        accept(&desk, &[checkpoint(1, None)]).await;
        accepted(desk.submit(first).await);
        assert!(is_fork(&desk.submit(second).await));
        closing.close(desk).await;
        let forks = WitnessReader::open(&place.path()).unwrap().forks(None, 0, 10).unwrap();
        assert_eq!(forks.iter().map(|fork| fork.class).collect::<Vec<_>>(), [class]);
    }
}

#[tokio::test]
async fn a_stream_with_a_key_takes_nothing_that_the_key_did_not_sign() {
    let (own, other) = (signing_key(20), signing_key(21));
    let place = Place::new();
    let (desk, closing) = place.open().unwrap();
    desk.change(added(None, Some(&own))).await.unwrap();
    let stolen = Request { submission: rival(1, None), ..signed(checkpoint(1, None), &own) };
    for request in [Request::new(checkpoint(1, None), "operator"), signed(checkpoint(1, None), &other), stolen] {
        assert_eq!(refusal(desk.submit(request).await), Refusal::NotSigned);
    }
    accepted(desk.submit(signed(checkpoint(1, None), &own)).await);
    closing.close(desk).await;
}

fn held_by_peer(n: i64, stream_id: &str) -> (String, Statement) {
    let submission = Submission { witness_id: "peer".into(), stream_id: stream_id.into(), ..checkpoint(n, None) };
    ("peer".into(), Statement { submission, key_epoch: "p".into(), accepted_at: NOW })
}

#[tokio::test]
async fn what_peers_have_witnessed_is_a_floor_whose_rival_is_a_fork() {
    let place = Place::with_floor();
    let (desk, closing) = place.open().unwrap();
    accept(&desk, &[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    let raise = |n| Change::Raise { heads: vec![held_by_peer(n, "str_1"), held_by_peer(n, "str_9")], unknown_as: None };
    desk.change(raise(5)).await.unwrap();
    desk.change(raise(4)).await.unwrap();
    assert!(is_fork(&submit(&desk, rival(5, Some(4))).await));
    assert_eq!(refusal(submit(&desk, checkpoint(3, Some(2))).await), Refusal::BelowFloor);
    replayed(submit(&desk, checkpoint(2, Some(1))).await);
    accepted(submit(&desk, checkpoint(6, Some(5))).await);
    // Nobody here knows what was between: who submits it again is honest, behind the floor too.
    assert_eq!(refusal(submit(&desk, checkpoint(4, Some(3))).await), Refusal::BelowFloor);
    closing.close(desk).await;
}

#[tokio::test]
async fn peers_are_told_the_last_receipt_also_behind_a_floor_and_before_one_without_a_signature() {
    let place = Place::new();
    let key = super::device::CountingKey::new(place.key.clone());
    let (desk, closing) = start(&place, Setup { signers: vec![witness::signer("k", key.clone())], ..place.setup() });
    let receipts = accept(&desk, &[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    desk.change(Change::Raise { heads: vec![held_by_peer(5, "str_1")], unknown_as: None }).await.unwrap();
    key.goes_away(true);
    submit(&desk, checkpoint(6, Some(5))).await.unwrap_err();
    closing.close(desk).await;
    let (heads, _) = WitnessReader::open(&place.path()).unwrap().heads(None, 0, 10).unwrap();
    assert_eq!(heads, receipts[1..]);
}

/// One transaction, however many records it is.
#[tokio::test]
async fn a_crash_between_many_records_and_their_anchor_step_is_none_of_an_anchor_that_was_set_back() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None)]).await;
    copy(&place.disk(), &place.aside("old"));
    let (desk, closing) = place.open().unwrap();
    let heads = (0..300).map(|n| held_by_peer(5, &format!("str_1{n}"))).collect();
    desk.change(Change::Raise { heads, unknown_as: Some("ins_1".into()) }).await.unwrap();
    closing.close(desk).await;
    copy(&place.aside("old"), &place.disk());
    replayed(place.submit(&checkpoint(1, None)).await);
}

#[tokio::test]
async fn an_anchor_that_is_two_transactions_behind_was_set_back() {
    let place = Place::with_floor();
    place.accept(&[checkpoint(1, None)]).await;
    copy(&place.disk(), &place.aside("old"));
    place.accept(&[checkpoint(2, Some(1)), checkpoint(3, Some(2))]).await;
    copy(&place.aside("old"), &place.disk());
    assert_eq!(incident(place.open()), What::AnchorSetBack);
}

#[tokio::test]
async fn a_key_is_not_rotated_while_something_waits_for_its_signature_and_signs_nothing_after() {
    let place = Place::new();
    let (old, new) = (witness::signer("k", place.key.clone()), witness::signer("k2", signing_key(9)));
    let key = super::device::CountingKey::new(place.key.clone());
    let signers = vec![witness::signer("k", key.clone()), new.clone()];
    let (desk, closing) = start(&place, Setup { signers, ..place.setup() });
    let rotated = || Change::Rotate {
        kid: "k2".into(),
        public_key: new.public_key().clone(),
        rollover: Object::new().with("to", "k2"),
    };
    key.goes_away(true);
    assert!(matches!(submit(&desk, checkpoint(1, None)).await, Err(WitnessError::Sign(_))));
    assert!(matches!(desk.change(rotated()).await, Err(WitnessError::Change(_))));
    key.goes_away(false);
    let first = replayed(submit(&desk, checkpoint(1, None)).await);
    desk.change(rotated()).await.unwrap();
    assert!(matches!(desk.change(rotated()).await, Err(WitnessError::Change(_))));
    let second = accepted(submit(&desk, checkpoint(2, Some(1))).await);
    assert_eq!(verify_receipt(&second, new.public_key()).unwrap().key_epoch, "k2");
    // What the old key signed is what it was.
    assert_eq!(replayed(submit(&desk, checkpoint(1, None)).await), first);
    verify_receipt(&first, old.public_key()).unwrap();
    // And a receipt of the old key is still one of ours.
    let known = Request { known: vec![first], ..Request::new(checkpoint(3, Some(2)), "operator") };
    accepted(desk.submit(known).await);
    closing.close(desk).await;
    let refused = place.open();
    assert!(matches!(refused, Err(WitnessError::OtherKey(ref kid)) if kid == "k2"), "{refused:?}");
}
