use local_vault::spool::{Gate, Park, Settlement, SpoolError};

use super::support::{Place, fill, judged, lease, lease_one, outage, receipted, refs, settle};

#[tokio::test]
async fn an_outage_sends_nothing_but_one_probe_and_counts_nothing() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1"]).await;
    let begun = lease(&spool, 9).await;
    let until = place.now().plus_millis(1_000);
    // What was in flight beside it fails as well, and is the same outage.
    let settled = begun.leased.iter().map(|leased| (leased.event.seq, outage(until))).collect();
    let parked = spool.turn(settled, 9).await.unwrap();
    assert_eq!((refs(&parked), parked.gate, parked.probes_failed), (vec![], Gate::Parked { until }, 1));

    for failures in 2..6 {
        place.clock.advance(1_000);
        let probe = lease(&spool, 9).await;
        assert_eq!((probe.leased.len(), probe.gate), (1, Gate::Probe));
        assert_eq!(refs(&lease(&spool, 9).await), [""; 0], "a second probe");
        settle(&spool, &probe.leased[0], outage(place.now().plus_millis(1_000))).await;
        let parked = spool.destination().await.unwrap().parked.unwrap();
        assert_eq!((parked.failures, parked.reason.as_str()), (failures, "http-503"));
        assert_eq!(parked.since, until.plus_millis(-1_000));
    }
    assert!(place.events().iter().all(|event| event.failures == 0));
}

#[tokio::test]
async fn whatever_the_receiver_says_ends_the_outage() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1"]).await;
    for judgement in [judged(Some(place.now())), judged(None)] {
        let first = lease_one(&spool).await;
        settle(&spool, &first, outage(place.now().plus_millis(10))).await;
        place.clock.advance(10);
        let probe = lease_one(&spool).await;
        settle(&spool, &probe, judgement).await;
        assert_eq!(spool.destination().await.unwrap().parked, None);
    }
    assert_eq!(lease(&spool, 9).await.gate, Gate::Open);
}

#[tokio::test]
async fn an_outage_survives_a_restart_and_a_killed_probe_does_not_block_the_next() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, outage(place.now().plus_millis(1_000))).await;
    drop(spool);
    let spool = place.open();
    spool.recover().await.unwrap();
    assert_eq!(refs(&lease(&spool, 9).await), [""; 0]);
    place.clock.advance(1_000);
    lease_one(&spool).await;
    drop(spool);
    let spool = place.open();
    assert_eq!(spool.recover().await.unwrap(), 1);
    assert_eq!(lease_one(&spool).await.event.attempt, 3);
}

#[tokio::test]
async fn a_paused_relay_sends_nothing_until_it_is_resumed() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["a1", "a2"]).await;
    fill(&spool, "b", &["b1"]).await;
    let begun = lease(&spool, 2).await;
    spool.control().pause().await.unwrap();
    let until = place.now().plus_millis(1_000);
    // What is in flight still settles. An outage that it shows is one outage.
    let settled = begun.leased.iter().map(|leased| (leased.event.seq, outage(until))).collect();
    let paused = spool.turn(settled, 9).await.unwrap();
    assert_eq!((refs(&paused), paused.gate, paused.probes_failed), (vec![], Gate::Paused, 1));
    drop(spool);
    let spool = place.open();
    place.clock.advance(1_000);
    assert_eq!(lease(&spool, 9).await.gate, Gate::Paused);

    let destination = spool.control().resume(None, false).await.unwrap();
    assert_eq!(destination.paused_at, None);
    assert_eq!(lease(&spool, 9).await.gate, Gate::Probe);
}

#[tokio::test]
async fn resuming_probes_at_once() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let first = lease_one(&spool).await;
    settle(&spool, &first, outage(place.now().plus_millis(300_000))).await;
    assert_eq!(refs(&lease(&spool, 1).await), [""; 0]);
    spool.control().resume(None, false).await.unwrap();
    assert_eq!(refs(&lease(&spool, 1).await), ["1"]);
}

#[tokio::test]
async fn only_a_new_enrolment_ends_a_revocation() {
    let place = Place::new();
    let spool = place.open();
    spool.bind("inst_1").await.unwrap();
    fill(&spool, "a", &["a1"]).await;
    fill(&spool, "b", &["b1"]).await;
    let begun = lease(&spool, 9).await;
    let revoked = Settlement::Unjudged { error: "revoked".into(), park: Park::Revoked };
    settle(&spool, &begun.leased[0], revoked).await;
    // A receipt for what was in flight does not end it.
    settle(&spool, &begun.leased[1], receipted(&begun.leased[1])).await;
    for enrolled in [None, Some("inst_1".to_owned())] {
        assert!(spool.control().resume(enrolled, false).await.unwrap().revoked_at.is_some());
        let nothing = lease(&spool, 9).await;
        assert_eq!((refs(&nothing), nothing.gate), (vec![], Gate::Revoked));
    }
    drop(spool);
    let spool = place.open();
    assert_eq!(lease(&spool, 9).await.gate, Gate::Revoked);

    let destination = spool.control().resume(Some("inst_2".into()), false).await.unwrap();
    assert_eq!((destination.installation_id.as_deref(), destination.revoked_at), (Some("inst_2"), None));
    assert_eq!(refs(&lease(&spool, 9).await), ["a1"], "the events stayed");
}

#[tokio::test]
async fn a_spool_relays_for_one_installation() {
    let place = Place::new();
    let spool = place.open();
    spool.bind("inst_1").await.unwrap();
    spool.bind("inst_1").await.unwrap();
    let refused = spool.bind("inst_2").await.unwrap_err();
    assert_eq!(refused, SpoolError::OtherInstallation { bound: "inst_1".into(), asked: "inst_2".into() });
    drop(spool);
    assert!(place.open().bind("inst_2").await.is_err());
}
