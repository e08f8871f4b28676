//! No answer makes the check panic, and none is taken for a delivery that does not name the event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::ack;
use local_vault::protocol::envelope::Envelope;
use local_vault::protocol::json::parse;

fuzz_target!(|bytes: &[u8]| {
    let envelope = Envelope {
        installation_id: "i".into(),
        event_id: "e".into(),
        stream_id: "s".into(),
        source_ref: "r".into(),
        payload_sha256: Digest::of(b"{}"),
        payload_size: 2,
        attempt: 1,
        created_at: Timestamp::from_millis(0),
        signed_at: Timestamp::from_millis(0),
    };
    // A hash that a fuzzer can write.
    let hash = Digest::from_bytes([0; 32]);
    let body = parse(bytes).ok();
    let delivered = ack::check(&envelope, &hash, body.as_ref()).is_ok();
    let named = body.is_some_and(|body| ack::names_event(&envelope, &hash, &body));
    assert!(named || !delivered);
});
