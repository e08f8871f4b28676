use std::time::Duration;

use local_vault::http::JSON;
use local_vault::witness::Submitter;

use super::server::{PATIENT, Server, code, local};
use super::witness::{checkpoint, setup, signer};

const CHECKPOINTS: &str = "/witness/v1/checkpoints";

#[test]
fn a_body_has_at_most_64_kib_whether_its_length_was_said_or_not() {
    let server = Server::start();
    let long = vec![b' '; 64 * 1024 + 1];
    let refused = server.client().post(CHECKPOINTS, JSON, &long);
    assert_eq!((refused.status, code(&refused).as_str()), (413, "body_too_large"));
    let mut client = server.client();
    let head =
        format!("POST {CHECKPOINTS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(head.as_bytes());
    client.send(format!("{:x}\r\n", long.len()).as_bytes());
    client.send(&long);
    client.send(b"\r\n0\r\n\r\n");
    assert_eq!(client.read().unwrap().status, 413);
    // One that fits may be as long as that.
    let mut body = checkpoint(1, None).to_object().to_canonical();
    body.resize(64 * 1024, b' ');
    assert_eq!(server.client().post(CHECKPOINTS, JSON, &body).status, 201);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let impatient = Duration::from_millis(200);
    let setup = setup(signer("witness-1", super::custody::signing_key(3)));
    let server = Server::with(Vec::new(), impatient, "ins_1", setup);
    let mut client = server.client();
    let head =
        format!("POST {CHECKPOINTS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 10\r\n\r\n{{");
    client.send(head.as_bytes());
    let refused = client.read().unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (408, "body_timeout"));
    // A head that does not come ends the connection.
    let mut client = server.client();
    client.send(b"POST /witness");
    assert!(client.read().is_none_or(|answer| answer.status == 408));
}

#[test]
fn a_quota_is_for_one_caller_and_says_when_it_has_room() {
    let submitter = Submitter { per_second: Some(1), ..local("a", &["ten_1"]) };
    let server = Server::for_submitters(vec![submitter]);
    let answers: Vec<_> = (0..20).map(|_| server.submit(&checkpoint(1, None))).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!((code(refused).as_str(), refused.header("retry-after")), ("quota_exceeded", Some("1")));
    let free = Server::for_submitters(vec![local("a", &["ten_1"])]);
    assert!((0..20).all(|_| [200, 201].contains(&free.submit(&checkpoint(1, None)).status)));
}

#[test]
fn whoever_was_let_in_is_answered_when_the_service_ends() {
    let mut server = Server::with(Vec::new(), PATIENT, "ins_1", setup(signer("w", super::custody::signing_key(3))));
    let body = checkpoint(1, None).to_object().to_canonical();
    let mut client = server.client();
    // The head is there, and so the request is under way when the end comes.
    let head = format!(
        "POST {CHECKPOINTS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    client.send(head.as_bytes());
    assert_eq!(client.read().unwrap().status, 100);
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| server.end());
        client.send(&body);
        assert_eq!(client.read().unwrap().status, 201);
        ending.join().unwrap();
    });
    let counts = local_vault::witness::WitnessReader::open(&server.path()).unwrap().counts().unwrap();
    assert_eq!(counts.receipts, 1);
}

#[test]
fn a_body_that_does_not_come_does_not_hold_the_end_up() {
    let mut server =
        Server::with(Vec::new(), PATIENT * 100, "ins_1", setup(signer("w", super::custody::signing_key(3))));
    let mut client = server.client();
    let head = format!(
        "POST {CHECKPOINTS} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    client.send(head.as_bytes());
    assert_eq!(client.read().unwrap().status, 100);
    // It returns at all.
    server.end();
    let refused = client.read().unwrap();
    assert_eq!((refused.status, code(&refused).as_str()), (503, "stopping"));
}
