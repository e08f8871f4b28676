use local_vault::facts::Digest;
use local_vault::protocol::source::PayloadHashOf;

use super::server::{Server, own_uid};

const HASH: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"; // of "hello"

fn event(source_ref: &str, content: &str) -> String {
    format!(r#"{{"stream_id":"s","source_ref":"{source_ref}",{content}}}"#)
}

#[test]
fn content_is_attested_by_its_hash_and_does_not_travel() {
    let server = Server::start();
    let mut client = server.client();
    let new = client.event(&event("r", r#""content":"aGVsbG8=""#));
    assert_eq!(new.status, 201);
    let attestation = server.attestation(new.event_id());
    assert_eq!((attestation.payload_hash, attestation.payload_hash_of), (HASH.parse().unwrap(), PayloadHashOf::Bytes));
    assert_eq!((attestation.stream_id.as_str(), attestation.source_ref.as_str()), ("s", "r"));
    assert_eq!((attestation.producer_uid, attestation.claimed), (Some(own_uid()), false));
    // Nothing is signed again for what was attested before.
    let same = client.event(&event("r", r#""content":"aGVsbG8=""#));
    assert_eq!((same.status, same.event_id()), (200, new.event_id()));
    client.event(&event("r", r#""content":"aGVsbG8h""#)).is(409, "source_ref_conflict");
}

#[test]
fn a_payload_may_be_attested_by_its_canonical_form() {
    let server = Server::start();
    let new = server.client().event(&event("r", r#""payload":{"b":1, "a":2},"attest":true"#));
    let attestation = server.attestation(new.event_id());
    assert_eq!(attestation.payload_hash, Digest::of(br#"{"a":2,"b":1}"#));
    assert_eq!((attestation.payload_hash_of, attestation.claimed), (PayloadHashOf::CanonicalJson, false));
}

#[test]
fn a_hash_without_its_content_is_marked_as_claimed() {
    let server = Server::start();
    let mut client = server.client();
    let new = client.event(&event("r", &format!(r#""payload_hash":"{HASH}""#)));
    let attestation = server.attestation(new.event_id());
    assert_eq!((attestation.payload_hash, attestation.claimed), (HASH.parse().unwrap(), true));
    assert_eq!(attestation.payload_hash_of, PayloadHashOf::Bytes);
    let of = format!(r#""payload_hash":"{HASH}","payload_hash_of":"canonical-json""#);
    let attestation = server.attestation(client.event(&event("r2", &of)).event_id());
    assert_eq!((attestation.payload_hash_of, attestation.claimed), (PayloadHashOf::CanonicalJson, true));
}

#[test]
fn without_a_key_for_attestations_payloads_are_taken_all_the_same() {
    let server = Server::start();
    server.lose_the_source_key();
    let mut client = server.client();
    client.event(&event("r", r#""content":"aGVsbG8=""#)).is(501, "attestation_unavailable");
    assert_eq!(client.payload("s", "r", "{}").status, 201);
}
