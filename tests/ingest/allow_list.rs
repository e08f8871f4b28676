use std::os::unix::process::CommandExt as _;
use std::process::Command;

use local_vault::facts::Digest;
use local_vault::ingest::Producer;

use super::client::{Answer, code, event, number};
use super::server::{Server, own_uid, producer};

/// Nobody's, on every system.
const OTHER: u32 = 65534;

#[test]
fn a_producer_has_its_own_streams_and_references_and_no_others() {
    let server = Server::for_producers(vec![producer(own_uid(), &["invoices", "plant-*"], &["inv-"])]);
    let mut client = server.client();
    assert_eq!(client.payload("invoices", "inv-1", "{}").status, 201);
    assert_eq!(client.payload("plant-7", "inv-2", "{}").status, 201);
    for (stream_id, source_ref) in [("other", "inv-3"), ("invoices", "x-1"), ("audit", "inv-3")] {
        client.payload(stream_id, source_ref, "{}").is(403, "not_allowed");
    }
    assert_eq!(server.events().len(), 2);
}

#[test]
fn who_may_not_see_an_event_learns_nothing_of_it() {
    let server = Server::start();
    assert_eq!(server.client().payload("secret", "inv-1", "{}").status, 201);
    server.change_rules(local_vault::ingest::Rules::new(vec![producer(own_uid(), &["mine"], &[])], None).unwrap());
    let mut client = server.client();
    // The same answers, whether there is such an event or not.
    let answers = |answer: Answer| (answer.status, answer.body);
    let there = answers(client.payload("secret", "inv-1", "{}"));
    assert_eq!(there, answers(client.payload("secret", "inv-2", "{}")));
    assert_eq!(there.0, 403);
    let there = answers(client.get("/v1/events/secret/inv-1"));
    assert_eq!(there, answers(client.get("/v1/events/secret/inv-2")));
    assert_eq!(there.0, 404);
}

#[test]
fn a_hash_without_content_takes_a_right_of_its_own() {
    let claim = format!(r#"{{"stream_id":"s","source_ref":"r","payload_hash":"{}"}}"#, Digest::of(b"x"));
    let server = Server::for_producers(vec![producer(own_uid(), &["s"], &[])]);
    server.client().event(&claim).is(403, "not_allowed");
    let claimer = Producer { may_claim: true, ..producer(own_uid(), &["s"], &[]) };
    let server = Server::for_producers(vec![claimer]);
    assert_eq!(server.client().event(&claim).status, 201);
}

#[test]
fn a_quota_refuses_single_events_and_slows_a_batch_down() {
    let limited = Producer { events_per_second: Some(5), ..producer(own_uid(), &["s"], &[]) };
    let server = Server::for_producers(vec![limited]);
    let mut client = server.client();
    let answers: Vec<Answer> = (0..12).map(|n| client.payload("s", &format!("r{n}"), "{}")).collect();
    let refused = answers.iter().find(|answer| answer.status != 201).unwrap();
    refused.is(429, "quota_exceeded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(server.events().len(), taken);
    // All of a batch is taken, however long that is.
    let lines: String = (0..8).map(|n| event("s", &format!("b{n}"), "{}") + "\n").collect();
    let answers = client.batch(&lines).lines();
    assert!(answers.iter().all(|line| number(line, "status") == 201), "{answers:?}");
    assert_eq!(answers.len(), 8);
}

#[test]
fn another_user_is_who_the_kernel_says() {
    if own_uid() != 0 {
        println!("not run over another user: only root can be somebody else");
        return;
    }
    let server = Server::for_producers(vec![
        Producer { may_claim: true, ..producer(OTHER, &["theirs"], &["t-"]) },
        producer(own_uid(), &["ours"], &["o-"]),
    ]);
    let as_other = |body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--unix-socket", server.socket().to_str().unwrap(), "-H", "Content-Type: application/json"]);
        curl.args(["--data-binary", body, "http://localhost/v1/events"]).uid(OTHER).gid(OTHER).current_dir("/");
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        local_vault::protocol::json::parse(&output.stdout).unwrap()
    };
    let taken = as_other(r#"{"stream_id":"theirs","source_ref":"t-1","content":"aGVsbG8="}"#);
    let id = taken.get_str("event_id").unwrap().parse().unwrap();
    assert_eq!(server.attestation(id).producer_uid, Some(OTHER));
    // Neither may write into the other's stream, nor take the other's references.
    for (stream_id, source_ref) in [("ours", "o-1"), ("ours", "t-1"), ("theirs", "o-1")] {
        assert_eq!(code(&as_other(&event(stream_id, source_ref, "{}"))), "not_allowed");
    }
    let mut root = server.client();
    for (stream_id, source_ref) in [("theirs", "t-2"), ("ours", "t-2"), ("theirs", "o-2")] {
        root.payload(stream_id, source_ref, "{}").is(403, "not_allowed");
    }
    root.get("/v1/events/theirs/t-1").is(404, "not_found");
    assert_eq!(root.payload("ours", "o-1", "{}").status, 201);
}
