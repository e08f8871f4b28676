//! A look at everything finds what was changed, and what cannot be sent is set aside with a signed record.

use local_vault::protocol::gap::GapRecord;
use local_vault::protocol::json;
use local_vault::spool::{Damaged, Spool, State};

use super::custody::spool_keys;
use super::support::{Place, fill, lease, refs};

fn damaged(spool: &Spool) -> Vec<Damaged> {
    let mut check = spool.start_check().unwrap();
    let mut found = Vec::new();
    while let Some(checked) = check.next(2).unwrap() {
        found.extend(checked.damaged);
    }
    found
}

fn whole(spool: &Spool) -> Vec<String> {
    spool.start_check().unwrap().finish(true).unwrap()
}

#[tokio::test]
async fn a_spool_that_nobody_touched_is_whole() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    fill(&spool, "b", &["4"]).await;
    lease(&spool, 1).await;
    assert_eq!((damaged(&spool), whole(&spool)), (vec![], vec![]));
}

#[tokio::test]
async fn every_edit_of_an_event_is_found_and_named() {
    let edits = [
        ("UPDATE contents SET sealed = zeroblob(40) WHERE seq = 2", "does not open"),
        ("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 2", "does not open"),
        ("UPDATE events SET payload_sha256 = zeroblob(32) WHERE seq = 2", "does not open"),
        ("UPDATE events SET source_ref = 'x' WHERE seq = 2", "does not open"),
        ("DELETE FROM contents WHERE seq = 2", "is gone"),
        ("DELETE FROM tombstones WHERE event_id = (SELECT event_id FROM events WHERE seq = 2)", "not kept"),
    ];
    for (edit, what) in edits {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["1", "2", "3"]).await;
        assert!(place.raw().execute(edit, []).unwrap() > 0);
        let found = damaged(&spool);
        assert_eq!(found.len(), 1, "{edit}");
        assert!(found[0].event.seq == 2 && found[0].what.contains(what), "{edit}: {}", found[0].what);
    }
}

#[tokio::test]
async fn what_does_not_agree_as_a_whole_is_named() {
    let edits = [
        ("UPDATE totals SET events = 9 WHERE state = 0", "the total says 9"),
        ("INSERT INTO contents VALUES (99, x'00', x'00')", "belong to no event"),
        ("UPDATE streams SET ready_at = NULL", "nothing wakes them"),
    ];
    for (edit, what) in edits {
        let place = Place::new();
        let spool = place.open();
        fill(&spool, "a", &["1"]).await;
        place.raw().execute(edit, []).unwrap();
        let found = whole(&spool);
        assert!(found.len() == 1 && found[0].contains(what), "{edit}: {found:?}");
    }
}

#[tokio::test]
async fn a_damaged_event_leaves_a_signed_record_in_its_place_and_the_rest_flows() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1", "2", "3"]).await;
    place.raw().execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = 1", []).unwrap();
    let event = damaged(&spool).remove(0).event;
    let ids: Vec<_> = place.events().iter().map(|event| event.event_id).collect();
    assert!(!spool.quarantine(ids[1]).await.unwrap(), "what opens stays where it is");
    assert!(spool.quarantine(event.event_id).await.unwrap());
    assert!(!spool.quarantine(event.event_id).await.unwrap());

    let aside = place.events().remove(0);
    assert_eq!((aside.state, aside.attempt), (State::Dead, 0));
    let (record, signature) = place.reader().gap(&aside).unwrap().unwrap();
    let record = GapRecord::from_object(&json::parse(&record).unwrap()).unwrap();
    assert_eq!((record.seq, &record.event_id), (1, &aside.event_id.to_string()));
    spool_keys(1).record.public_key().verify(&record.preimage(), &signature).unwrap();
    assert_eq!(refs(&lease(&spool, 9).await), ["2"]);
    assert_eq!((damaged(&spool), whole(&spool)), (vec![], vec![]), "it was told of, and is no news");

    place.raw().execute("UPDATE gaps SET signature = zeroblob(64)", []).unwrap();
    assert!(damaged(&spool)[0].what.contains("not signed by the record key"));
}
