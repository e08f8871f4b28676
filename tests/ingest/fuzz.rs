use proptest::collection::vec;
use proptest::prelude::*;

use super::client::event;
use super::server::Server;

/// Something like a request, wrong in places.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let body = event("s", "fuzz", r#"{"n":1}"#);
    let whole = format!(
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let changed = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4).prop_map(move |changes| {
        let mut bytes = whole.clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![vec(any::<u8>(), 0..400), changed]
}

/// Something like an event, wrong in places.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let line = br#"{"stream_id":"s","source_ref":"r","payload":{"a":[1,2.5,"\u00e4"]},"attest":false}"#;
    let changed = vec((0..line.len(), any::<u8>()), 1..4).prop_map(move |changes| {
        let mut bytes = line.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes
    });
    prop_oneof![vec(any::<u8>(), 0..200), changed]
}

#[test]
fn no_garbage_on_a_connection_stops_the_server() {
    let server = Server::start();
    proptest!(ProptestConfig::with_cases(256), |(bytes in requests())| {
        let mut client = server.client();
        // It may have hung up before the end.
        if client.try_send(&bytes).is_ok() {
            client.end();
            let status = client.read().map(|answer| answer.status);
            prop_assert!(status.is_none_or(|status| (200..500).contains(&status)), "{status:?}");
        }
    });
    assert_eq!(server.client().payload("s", "after", "{}").status, 201);
}

#[test]
fn no_garbage_in_a_body_is_more_than_refused() {
    let server = Server::start();
    proptest!(ProptestConfig::with_cases(512), |(body in bodies())| {
        let mut client = server.client();
        let answer = client.post("/v1/events", "application/json", &body);
        prop_assert!([200, 201, 400, 409].contains(&answer.status), "{answer:?}");
        let answer = client.post("/v1/events:batch", "application/x-ndjson", &body);
        prop_assert_eq!(answer.status, 200);
        let lines = body.split(|c| *c == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count();
        prop_assert_eq!(answer.lines().len(), lines);
    });
}
