use std::collections::HashMap;

use local_vault::spool::{Settlement, State};

use super::support::{Place, answer, fill, judged, lease, lease_one, outage, receipted, refs, settle};

#[tokio::test]
async fn a_stream_sends_its_next_event_only_once_the_one_before_is_settled() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3", "4"]).await;

    let first = lease_one(&spool).await;
    assert_eq!(first.event.source_ref, "1");
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0], "in flight");
    let retry_at = place.now().plus_millis(2_000);
    settle(&spool, &first, judged(Some(retry_at))).await;
    let waiting = lease(&spool, 9).await;
    assert_eq!((refs(&waiting), waiting.next_ready_at), (vec![], Some(retry_at)));
    place.clock.advance(1_999);
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0], "a millisecond early");
    place.clock.advance(1);

    let first = lease_one(&spool).await;
    assert_eq!((first.event.source_ref.as_str(), first.event.attempt, first.event.failures), ("1", 2, 1));
    settle(&spool, &first, judged(None)).await;
    let second = lease_one(&spool).await;
    assert_eq!(second.event.source_ref, "2", "behind a dead one");
    settle(&spool, &second, Settlement::Conflict(answer(&second.event))).await;
    let third = lease_one(&spool).await;
    assert_eq!(third.event.source_ref, "3", "behind a conflict");
    settle(&spool, &third, receipted(&third)).await;
    assert_eq!(lease_one(&spool).await.event.source_ref, "4");

    let states: Vec<_> = place.events().into_iter().map(|event| event.state).collect();
    assert_eq!(states, [State::Dead, State::Conflict, State::Receipted, State::Relaying]);
}

#[tokio::test]
async fn streams_do_not_wait_for_one_another() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1", "b2"]).await;
    fill(&spool, "c", &["c1"]).await;

    let begun = lease(&spool, 9).await;
    assert_eq!(refs(&begun), ["a1", "b1", "c1"]);
    let settled = vec![
        (begun.leased[0].event.seq, judged(Some(place.now().plus_millis(60_000)))),
        (begun.leased[1].event.seq, receipted(&begun.leased[1])),
    ];
    assert_eq!(refs(&spool.turn(settled, 9).await.unwrap()), ["b2"]);
    place.events();
}

#[tokio::test]
async fn an_event_that_arrives_while_its_stream_is_busy_follows() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let first = lease_one(&spool).await;
    fill(&spool, "a", &["2"]).await;
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0]);
    let next = spool.turn(vec![(first.event.seq, receipted(&first))], 9).await.unwrap();
    assert_eq!(refs(&next), ["2"]);
}

#[tokio::test]
async fn an_event_behind_a_waiting_head_does_not_cut_its_wait_short() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, judged(Some(place.now().plus_millis(1_000)))).await;
    fill(&spool, "a", &["2"]).await;
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0]);
    place.clock.advance(1_000);
    assert_eq!(lease_one(&spool).await.event.source_ref, "1");
}

#[tokio::test]
async fn streams_with_much_to_send_take_turns() {
    let place = Place::new();
    let spool = place.open();
    for stream in ["a", "b", "c"] {
        for n in 0..5 {
            fill(&spool, stream, &[&format!("{stream}{n}")]).await;
        }
    }
    let mut sent = HashMap::new();
    let mut settled = Vec::new();
    for _ in 0..9 {
        place.clock.advance(1);
        let turn = spool.turn(std::mem::take(&mut settled), 1).await.unwrap();
        let leased = &turn.leased[0];
        *sent.entry(leased.event.stream_id.clone()).or_insert(0) += 1;
        settled.push((leased.event.seq, receipted(leased)));
    }
    assert_eq!(sent, HashMap::from([("a".into(), 3), ("b".into(), 3), ("c".into(), 3)]));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_wait_longer() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2"]).await;
    fill(&spool, "b", &["3"]).await;
    let begun = lease(&spool, 2).await;
    let retry_at = place.now().plus_millis(4_000);
    let settled = vec![
        (begun.leased[0].event.seq, receipted(&begun.leased[0])),
        (begun.leased[1].event.seq, judged(Some(retry_at))),
    ];
    spool.turn(settled, 0).await.unwrap();

    place.clock.advance(-86_400_000);
    let next = lease(&spool, 9).await;
    assert_eq!(refs(&next), ["2"], "was ready before");
    assert_eq!(next.next_ready_at, Some(place.now().plus_millis(4_000)));
    settle(&spool, &next.leased[0], outage(place.now().plus_millis(9_000))).await;
    place.clock.advance(-86_400_000);
    let parked = lease(&spool, 9).await;
    assert_eq!(refs(&parked), [""; 0]);
    place.clock.advance(9_000);
    assert_eq!(refs(&lease(&spool, 9).await).len(), 1, "the probe");
}

#[tokio::test]
async fn a_restart_after_the_clock_was_set_back_shortens_absurd_waits() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    drop(spool);
    place.clock.advance(-30 * 86_400_000);
    assert_eq!(refs(&lease(&place.open(), 9).await), ["1"]);
}

#[tokio::test]
async fn what_was_spooled_while_the_clock_was_years_ahead_waits_for_none_of_them() {
    const TEN_YEARS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    assert_eq!(refs(&lease(&spool, 9).await), ["1"]);
    place.clock.advance(TEN_YEARS);
    fill(&spool, "b", &["2"]).await;
    place.clock.advance(-TEN_YEARS);
    assert_eq!(refs(&lease(&spool, 9).await), ["2"]);
}
