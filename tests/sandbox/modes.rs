use std::pin::pin;

use local_vault::protocol::ack::{AckError, ErrorForm};
use local_vault::protocol::envelope::Envelope;
use local_vault::protocol::json::Value;

use super::support::wait_until;
use super::vault::{Answer, EVENT, INSTALLATION, PAYLOAD, Pair, envelope};

#[tokio::test]
async fn outages_answer_with_their_status_and_record_nothing() {
    let pair = Pair::start();
    let cases = [
        ("empty", 200, "application/json", None),
        ("forbidden", 403, "application/json", None),
        ("garbage", 200, "application/json", None),
        ("html", 200, "text/html; charset=utf-8", None),
        ("not-found", 404, "application/json", None),
        ("too-many", 429, "application/json", None),
        ("unauthorized", 401, "text/html; charset=utf-8", None),
        ("unavailable", 503, "application/json", Some("1")),
        ("unavailable-later", 503, "application/json", Some("120")),
    ];
    for (mode, status, content_type, retry_after) in cases {
        pair.sandbox.behave(mode, None).await;
        let response = pair.request(&envelope(), PAYLOAD).send().await.unwrap();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some(content_type), "{mode}");
        assert_eq!(header("retry-after").as_deref(), retry_after, "{mode}");
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, status, "{mode}");
        assert!(answer.check(&envelope()).is_err(), "{mode}");
    }
    assert_eq!(pair.sandbox.count("events").await, 0);
    assert_eq!(pair.sandbox.count("misbehaved").await, 9);
}

#[tokio::test]
async fn lies_are_those_that_the_relay_must_find_and_the_truth_comes_with_the_replay() {
    let cases = [
        ("lie-envelope-hash", AckError::AckEnvelopeHashMismatch),
        ("lie-event-id", AckError::AckEventIdMismatch),
        ("lie-receipt", AckError::EventHashMismatch),
        ("lie-stream", AckError::StreamIdMismatch),
        ("missing-receipt", AckError::MissingReceipt),
        ("not-accepted", AckError::AckNotAccepted),
    ];
    let pair = Pair::start();
    for (mode, error) in cases {
        pair.sandbox.behave(mode, Some(1)).await;
        let envelope = Envelope { source_ref: mode.into(), ..envelope() };
        let lie = pair.send(&envelope).await;
        assert_eq!((lie.status, lie.check(&envelope)), (201, Err(error)), "{mode}");
        let truth = pair.send(&envelope).await;
        assert_eq!(truth.status, 200, "{mode}");
        assert!(truth.check(&envelope).is_ok(), "{mode}");
    }
}

#[tokio::test]
async fn judgements_name_the_event_and_record_nothing() {
    let pair = Pair::start();
    for (mode, status, code) in [("conflict", 409, "source_ref_conflict"), ("reject", 422, "rejected")] {
        pair.sandbox.behave(mode, None).await;
        let answer = pair.send(&envelope()).await;
        assert_eq!(answer.refusal(), (status, code.into()));
        assert_eq!(ErrorForm::from_object(&answer.object()).unwrap().event_id.as_deref(), Some(EVENT));
    }
    assert_eq!(pair.sandbox.count("events").await, 0);
}

#[tokio::test]
async fn a_revocation_stays_until_the_sandbox_is_told_to_behave() {
    let pair = Pair::start();
    pair.sandbox.behave("revoke", Some(1)).await;
    for _ in 0..2 {
        let answer = pair.send(&envelope()).await;
        assert_eq!(answer.refusal(), (403, "installation_revoked".into()));
        let form = ErrorForm::from_object(&answer.object()).unwrap();
        assert_eq!(form.installation_id.as_deref(), Some(INSTALLATION));
    }
    pair.sandbox.behave("ok", None).await;
    assert_eq!(pair.send(&envelope()).await.status, 201);
}

#[tokio::test]
async fn a_redirect_leads_into_a_trap_that_counts() {
    let pair = Pair::start();
    pair.sandbox.behave("redirect", None).await;
    let response = pair.request(&envelope(), PAYLOAD).send().await.unwrap();
    assert_eq!(response.status(), 302);
    let location = response.headers().get("location").unwrap().to_str().unwrap().to_owned();
    assert_eq!(pair.sandbox.count("trapped").await, 0);
    pair.client.get(pair.sandbox.at(&location)).send().await.unwrap();
    assert_eq!(pair.sandbox.count("trapped").await, 1);
}

#[tokio::test]
async fn a_closed_connection_answers_nothing() {
    let pair = Pair::start();
    pair.sandbox.behave("close", Some(1)).await;
    let error = pair.request(&envelope(), PAYLOAD).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(pair.sandbox.recorded_events()[0].get("answered"), Some(&Value::Null));
    assert_eq!(pair.send(&envelope()).await.status, 201);
}

#[tokio::test]
async fn half_a_body_ends_in_an_error_and_the_event_is_recorded() {
    let pair = Pair::start();
    pair.sandbox.behave("half-body", Some(1)).await;
    let mut response = pair.request(&envelope(), PAYLOAD).send().await.unwrap();
    let (status, promised) = (response.status(), response.content_length().unwrap());
    let half = response.chunk().await.unwrap().unwrap();
    assert_eq!((status.as_u16(), half.len() as u64), (201, promised / 2));
    assert!(response.chunk().await.is_err());
    assert_eq!(pair.send(&envelope()).await.status, 200);
}

#[tokio::test]
async fn a_body_that_stalls_gives_half_and_nothing_more() {
    let pair = Pair::start();
    pair.sandbox.behave("stall-body", Some(1)).await;
    let mut response = pair.request(&envelope(), PAYLOAD).send().await.unwrap();
    let promised = response.content_length().unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap().len() as u64, promised / 2);
    tokio::select! {
        biased;
        rest = response.chunk() => panic!("there is more: {rest:?}"),
        events = pair.sandbox.count("events") => assert_eq!(events, 1),
    }
}

#[tokio::test]
async fn a_stall_takes_the_request_and_says_nothing() {
    let pair = Pair::start();
    pair.sandbox.behave("stall", Some(1)).await;
    let mut stalled = pin!(pair.request(&envelope(), PAYLOAD).send());
    let taken = tokio::task::spawn_blocking({
        let record = pair.sandbox.record_file();
        move || wait_until(|| std::fs::read_to_string(&record).unwrap().contains("/events").then_some(()))
    });
    tokio::select! {
        biased;
        answer = &mut stalled => panic!("there is an answer: {answer:?}"),
        taken = taken => taken.unwrap(),
    }
    assert_eq!(pair.send(&envelope()).await.status, 201);
}

#[tokio::test]
async fn a_huge_body_promises_2_gib_and_ends_with_the_client() {
    let pair = Pair::start();
    pair.sandbox.behave("huge", Some(1)).await;
    let mut response = pair.request(&envelope(), PAYLOAD).send().await.unwrap();
    assert_eq!(response.content_length(), Some(2 * 1024 * 1024 * 1024));
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    assert_eq!(pair.send(&envelope()).await.status, 201);
}

#[tokio::test]
async fn modes_from_the_command_line_are_taken_in_order_and_only_by_events() {
    let pair = Pair::start_with(&["--behave", "unavailable:2", "--behave", "html:1"]);
    assert_eq!(pair.client.get(pair.sandbox.at("/health")).send().await.unwrap().status(), 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(pair.send(&envelope()).await.status);
    }
    assert_eq!(statuses, [503, 503, 200, 201]);
}

#[tokio::test]
async fn an_order_that_is_not_understood_changes_nothing() {
    let pair = Pair::start();
    for order in [r#"{"mode":"teapot"}"#, r#"{"mode":"html","times":0}"#, r#"{"mode":"html","times":"1"}"#, "{}", "x"] {
        let response = pair.client.post(pair.sandbox.at("/sandbox/behave")).body(order).send().await.unwrap();
        assert_eq!(response.status(), 400, "{order}");
    }
    assert_eq!(pair.send(&envelope()).await.status, 201);
}
