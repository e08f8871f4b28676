use local_vault::facts::Digest;
use local_vault::protocol::ack::ErrorForm;
use local_vault::protocol::envelope::{
    Envelope, HEADER_ENVELOPE_HASH, HEADER_PUBLIC_KEY, HEADER_SIGNATURE, request_body,
};
use local_vault::protocol::json::Value;
use reqwest::header::HeaderValue;

use super::vault::{Answer, EVENT, PAYLOAD, Pair, Vault, about, envelope};

#[tokio::test]
async fn an_event_is_acknowledged_with_a_receipt_that_says_it_is_a_sandboxs() {
    let pair = Pair::start();
    let answer = pair.send(&envelope()).await;
    let acknowledged = answer.check(&envelope()).unwrap();
    let body = answer.object();
    let payload = body.get_object("receipt").and_then(|receipt| receipt.get_object("payload")).unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(acknowledged.receipt_hash, Digest::of(&payload.to_canonical()).to_string());
    assert_eq!(payload.get("sandbox"), Some(&Value::Bool(true)));
    assert_eq!(payload.get("sequence"), Some(&1_i64.into()));
    assert_eq!(payload.get_str("stream_id"), Some("str_1"));
}

#[tokio::test]
async fn the_same_content_again_gets_a_fresh_acknowledgement_and_the_earlier_receipt() {
    let pair = Pair::start();
    let first = pair.send(&envelope()).await;
    let again = Envelope { attempt: 2, event_id: "lv_00000000000000000000000000000002".into(), ..envelope() };
    let second = pair.send(&again).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(second.check(&again), first.check(&envelope()));
    assert!(second.check(&again).is_ok());
    assert_eq!(second.object().get("receipt"), first.object().get("receipt"));
    assert_eq!(pair.sandbox.count("replays").await, 1);
}

#[tokio::test]
async fn other_content_under_a_source_ref_is_a_conflict_with_evidence() {
    let pair = Pair::start();
    let first = pair.send(&envelope()).await;
    let other = about(br#"{"n":2}"#);
    let moved = Envelope { stream_id: "str_2".into(), ..envelope() };
    for (envelope, payload) in [(&other, &br#"{"n":2}"#[..]), (&moved, PAYLOAD)] {
        let answer = Answer::of(pair.request(envelope, payload).send().await.unwrap()).await;
        assert_eq!(answer.refusal(), (409, "source_ref_conflict".into()));
        let body = answer.object();
        assert_eq!(ErrorForm::from_object(&body).unwrap().event_id.as_deref(), Some(EVENT));
        let held = body.get_object("evidence").and_then(|evidence| evidence.get("receipt"));
        assert_eq!(held, first.object().get("receipt"));
    }
    assert_eq!(pair.sandbox.count("events").await, 1);
    assert_eq!(pair.sandbox.count("conflicts").await, 2);
}

#[tokio::test]
async fn an_envelope_that_contradicts_itself_or_its_path_is_refused() {
    let pair = Pair::start();
    let malformed = [Envelope { attempt: 0, ..envelope() }, Envelope { installation_id: "ins_2".into(), ..envelope() }];
    for envelope in malformed {
        let answer = pair.send(&envelope).await;
        assert_eq!(answer.refusal(), (400, "envelope_invalid".into()), "{envelope:?}");
        assert_eq!(ErrorForm::from_object(&answer.object()).unwrap().event_id.as_deref(), Some(EVENT));
    }
    let mismatched =
        [Envelope { payload_sha256: Digest::of(b"{}"), ..envelope() }, Envelope { payload_size: 8, ..envelope() }];
    for envelope in mismatched {
        assert_eq!(pair.send(&envelope).await.refusal(), (422, "payload_mismatch".into()), "{envelope:?}");
    }
    assert_eq!(pair.sandbox.count("rejected").await, 4);
    assert_eq!(pair.sandbox.count("events").await, 0);
}

#[tokio::test]
async fn a_body_that_is_not_strictly_a_request_is_refused() {
    let pair = Pair::start();
    let whole = String::from_utf8(request_body(&envelope().preimage(), PAYLOAD)).unwrap();
    let bodies = [
        String::new(),
        "[]".into(),
        "{}".into(),
        whole.replace(r#","payload":"#, r#","extra":1,"payload":"#),
        whole.replace(r#""n":1"#, r#""n":1,"n":1"#),
        whole.replace(r#""attempt":1"#, r#""attempt":"1""#),
        whole.replace(".000Z", "Z"),
    ];
    for body in bodies {
        let answer = Answer::of(pair.request(&envelope(), PAYLOAD).body(body.clone()).send().await.unwrap()).await;
        assert_eq!(answer.refusal(), (400, "envelope_invalid".into()), "{body}");
    }
    let mut form = pair.request(&envelope(), PAYLOAD).build().unwrap();
    form.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    let answer = Answer::of(pair.client.execute(form).await.unwrap()).await;
    assert_eq!(answer.refusal(), (400, "envelope_invalid".into()));
}

#[tokio::test]
async fn whatever_the_installations_key_did_not_sign_is_refused() {
    let pair = Pair::start();
    let stranger = Vault::new(8);
    let signed = envelope().preimage();
    let other = Envelope { attempt: 2, ..envelope() }.preimage();
    let upper = signed.hash().to_string().to_uppercase();
    let headers = [
        (HEADER_ENVELOPE_HASH, other.hash().to_string()),
        (HEADER_ENVELOPE_HASH, upper),
        (HEADER_SIGNATURE, pair.vault.sign(&other).to_hex()),
        (HEADER_SIGNATURE, stranger.sign(&signed).to_hex()),
        (HEADER_SIGNATURE, "00".into()),
        (HEADER_PUBLIC_KEY, stranger.public_key().to_hex()),
    ];
    for (name, value) in headers {
        let mut request = pair.request(&envelope(), PAYLOAD).build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = Answer::of(pair.client.execute(request).await.unwrap()).await;
        assert_eq!(answer.refusal(), (401, "signature_invalid".into()), "{name}: {value}");
        let mut request = pair.request(&envelope(), PAYLOAD).build().unwrap();
        request.headers_mut().remove(name);
        let answer = Answer::of(pair.client.execute(request).await.unwrap()).await;
        assert_eq!(answer.refusal(), (401, "signature_invalid".into()), "without {name}");
    }
    for payload in [PAYLOAD, b"{}"] {
        let request = stranger.request(&pair.client, pair.sandbox.url(), &envelope(), payload);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.refusal(), (401, "signature_invalid".into()));
    }
}

#[tokio::test]
async fn an_installation_that_is_not_trusted_is_not_found() {
    let pair = Pair::start();
    let url = pair.sandbox.at("/v2/local-vault/installations/ins_2/events");
    let stranger = Envelope { installation_id: "ins_2".into(), ..envelope() };
    let request = pair.vault.request(&pair.client, &url, &stranger, PAYLOAD);
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.refusal(), (404, "installation_unknown".into()));
}

#[tokio::test]
async fn a_body_larger_than_what_is_parsed_is_refused() {
    let pair = Pair::start();
    let body = vec![b' '; local_vault::protocol::json::MAX_BYTES + 1];
    let answer = Answer::of(pair.request(&envelope(), PAYLOAD).body(body).send().await.unwrap()).await;
    assert_eq!(answer.refusal(), (413, "request_too_large".into()));
}

#[tokio::test]
async fn the_record_has_every_request_with_its_bytes_and_its_connection() {
    let pair = Pair::start();
    pair.send(&envelope()).await;
    let again = Envelope { attempt: 2, ..envelope() };
    pair.send(&again).await;
    let fresh = pair.vault.request(&pair.sandbox.client(), pair.sandbox.url(), &envelope(), b"{}");
    fresh.body(vec![0xFF]).send().await.unwrap();

    let recorded = pair.sandbox.recorded_events();
    let body = String::from_utf8(request_body(&again.preimage(), PAYLOAD)).unwrap();
    assert_eq!(recorded[1].get_str("body"), Some(body.as_str()));
    assert_eq!(recorded[2].get_str("body_hex"), Some("ff"));
    let hash = again.preimage().hash().to_string();
    assert_eq!(recorded[1].get_object("headers").unwrap().get_str(HEADER_ENVELOPE_HASH), Some(hash.as_str()));
    let connections: Vec<_> = recorded.iter().map(|request| request.get("connection").unwrap()).collect();
    assert_eq!(connections[0], connections[1]);
    assert_ne!(connections[1], connections[2]);
    let answered: Vec<_> = recorded.iter().map(|request| request.get("answered").unwrap().as_i64()).collect();
    assert_eq!(answered, [Some(201), Some(200), Some(400)]);
}
