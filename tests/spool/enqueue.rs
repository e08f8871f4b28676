use local_vault::facts::Digest;
use local_vault::protocol::source::PayloadHashOf;
use local_vault::protocol::{Domain, Preimage, json};
use local_vault::spool::{ContentId, SpoolError, State};

use super::support::{Place, event, judged, lease_one, receipted, settle};

#[tokio::test]
async fn the_same_event_again_is_the_same_event() {
    let place = Place::new();
    let spool = place.open();
    let first = spool.enqueue(event("a", "r", "{}")).await.unwrap();
    let again = spool.enqueue(event("a", "r", "{}")).await.unwrap();
    assert!(!first.known && again.known);
    assert_eq!((again.event_id, again.state), (first.event_id, Some(State::Queued)));
    assert_eq!(place.events().len(), 1);
}

#[tokio::test]
async fn other_content_is_a_conflict_and_overwrites_nothing() {
    let place = Place::new();
    let spool = place.open();
    let first = spool.enqueue(event("a", "r", "{\"n\":1}")).await.unwrap();
    let before = place.events();
    let refused = spool.enqueue(event("a", "r", "{\"n\":2}")).await.unwrap_err();
    assert_eq!(refused, SpoolError::Conflict { event_id: first.event_id });
    assert_eq!(place.events(), before);
    assert_eq!(**spool.payload(first.event_id).await.unwrap().unwrap(), *b"{\"n\":1}");
}

#[tokio::test]
async fn one_reference_in_two_streams_is_refused_unless_allowed() {
    let place = Place::new();
    let spool = place.open();
    let first = spool.enqueue(event("a", "r", "{}")).await.unwrap();
    let mut second = event("b", "r", "{}");
    let refused = spool.enqueue(second.clone()).await.unwrap_err();
    assert_eq!(refused, SpoolError::RefReuse { event_id: first.event_id });
    second.allow_ref_reuse = true;
    let allowed = spool.enqueue(second).await.unwrap();
    assert_ne!(allowed.event_id, first.event_id);
    assert_eq!(place.events().len(), 2);
}

#[tokio::test]
async fn a_file_attested_again_is_the_same_event_though_its_record_differs() {
    let place = Place::new();
    let spool = place.open();
    let of_file = |payload: &str, hash: &[u8], kind| {
        let mut new = event("a", "report.pdf@1", payload);
        new.content = ContentId::attested(Digest::of(hash), kind);
        new
    };
    let first = spool.enqueue(of_file("{\"at\":1}", b"file", PayloadHashOf::Bytes)).await.unwrap();
    let again = spool.enqueue(of_file("{\"at\":2}", b"file", PayloadHashOf::Bytes)).await.unwrap();
    assert_eq!(again.event_id, first.event_id);
    for (hash, kind) in [(&b"edited"[..], PayloadHashOf::Bytes), (&b"file"[..], PayloadHashOf::CanonicalJson)] {
        let refused = spool.enqueue(of_file("{\"at\":3}", hash, kind)).await.unwrap_err();
        assert_eq!(refused, SpoolError::Conflict { event_id: first.event_id });
    }
}

#[tokio::test]
async fn a_known_event_tells_where_it_is() {
    let place = Place::new();
    let spool = place.open();
    let (stream, source_ref, content) = ("a", "r", event("a", "r", "{}").content);
    let find = || async { spool.find(stream, source_ref, content).await.unwrap() };
    assert_eq!(find().await, None);
    spool.enqueue(event("a", "r", "{}")).await.unwrap();
    let leased = lease_one(&spool).await;
    assert_eq!(find().await.unwrap().0.state, Some(State::Relaying));
    settle(&spool, &leased, receipted(&leased)).await;
    let again = spool.enqueue(event("a", "r", "{}")).await.unwrap();
    assert_eq!((again.event_id, again.state), (leased.event.event_id, Some(State::Receipted)));
    assert_eq!(find().await, Some((again, true)));
    assert_eq!(spool.find("a", "r", event("a", "r", "{\"n\":1}").content).await.unwrap(), Some((again, false)));
}

#[tokio::test]
async fn a_dead_event_is_not_brought_back_by_enqueueing_it_again() {
    let place = Place::new();
    let spool = place.open();
    spool.enqueue(event("a", "r", "{}")).await.unwrap();
    let leased = lease_one(&spool).await;
    settle(&spool, &leased, judged(None)).await;
    assert_eq!(spool.enqueue(event("a", "r", "{}")).await.unwrap().state, Some(State::Dead));
    assert_eq!(place.events().len(), 1);
}

#[tokio::test]
async fn sixteen_mebibytes_come_back_as_they_went_in() {
    let place = Place::new();
    let spool = place.open();
    let payload = format!("{{\"blob\":\"{}\"}}", "x".repeat(16 << 20));
    let id = spool.enqueue(event("a", "big", &payload)).await.unwrap().event_id;
    let leased = lease_one(&spool).await;
    assert_eq!(leased.event.payload_size, payload.len() as u64);
    assert_eq!(**leased.payload, *payload.as_bytes());
    assert_eq!(**spool.payload(id).await.unwrap().unwrap(), *payload.as_bytes());
}

#[tokio::test]
async fn names_of_any_form_are_kept_apart() {
    let place = Place::new();
    let spool = place.open();
    // The shell refuses empty ones where it must; the published commands take them.
    let pairs = [("", ""), ("", "a"), ("a", ""), ("ab", "c"), ("a", "bc"), ("a\0", "b"), ("ä\u{301}", "\u{e4}\u{301}")];
    for (stream, source_ref) in pairs {
        let mut new = event(stream, source_ref, "{}");
        new.allow_ref_reuse = true;
        assert!(!spool.enqueue(new).await.unwrap().known, "{stream:?} {source_ref:?}");
    }
    let named: Vec<_> = place.events().into_iter().map(|e| (e.stream_id, e.source_ref)).collect();
    assert_eq!(named, pairs.map(|(s, r)| (s.to_owned(), r.to_owned())));
}

#[test]
fn debug_shows_no_byte_of_a_payload() {
    let new = event("a", "r", r#"{"secret":"marker-4711"}"#);
    let preimage = Preimage::new(Domain::Source, &json::parse(&new.payload).unwrap());
    let shown = format!("{new:?} {preimage:?}");
    // As text, or as the list of its bytes.
    assert!(!shown.contains("marker") && !shown.contains("109, 97, 114"), "{shown}");
}
