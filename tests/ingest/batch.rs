use std::fmt::Write as _;

use local_vault::ingest::{LONGEST_LINE, Rules};

use super::client::{code, event, number};
use super::server::{IMPATIENT, Server, own_uid, wait_until};

#[test]
fn five_thousand_lines_are_answered_in_order_and_bad_ones_keep_nothing_back() {
    let server = Server::start();
    let mut client = server.client();
    let mut lines = String::new();
    for n in 0..5000 {
        let line = match n % 100 {
            7 => "no json".to_owned(),
            8 => event("s", &format!("r{}", n - 8), r#"{"other":true}"#),
            9 => event("s", &format!("r{}", n - 9), &format!(r#"{{"n":{}}}"#, n - 9)),
            10 => String::new(),
            11 => format!(r#"{{"stream_id":"s","source_ref":"r{n}","content":"aGVsbG8="}}"#),
            _ => event("s", &format!("r{n}"), &format!(r#"{{"n":{n}}}"#)),
        };
        writeln!(lines, "{line}").unwrap();
    }
    let answer = client.batch(&lines);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
    let answers = answer.lines();
    assert_eq!(answers.len(), 5000 - 50);
    let mut numbers = (1..=5000).filter(|n| (n - 1) % 100 != 10);
    for answer in &answers {
        let line = numbers.next().unwrap();
        assert_eq!(number(answer, "line"), line);
        let expected = match (line - 1) % 100 {
            7 => (400, "body_invalid"),
            8 => (409, "source_ref_conflict"),
            9 => (200, ""),
            _ => (201, ""),
        };
        assert_eq!((number(answer, "status"), code(answer).as_str()), expected, "{answer:?}");
    }
    let mut events = server.events();
    events.sort_by_key(|event| event.seq);
    let spooled: Vec<_> = events.iter().map(|event| event.source_ref.clone()).collect();
    let sent = (0..5000).filter(|n| ![7, 8, 9, 10].contains(&(n % 100)));
    assert_eq!(spooled, sent.map(|n| format!("r{n}")).collect::<Vec<_>>());
    // The connection goes on.
    assert_eq!(client.get("/v1/events/s/r0").status, 200);
    // An entry a commit in the audit log, and not one an event.
    server.go_away();
    let entries = server.audited();
    assert_eq!(entries.iter().sum::<i64>(), 4800);
    assert!(entries.len() < 2400, "{}", entries.len());
}

#[test]
fn a_line_is_answered_while_the_next_is_still_to_come() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    let line = event("s", "r1", "{}");
    client.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes());
    // It is in the spool, though the batch has not ended.
    let mut other = server.client();
    wait_until(|| other.get("/v1/events/s/r1").status == 200);
    client.send(b"0\r\n\r\n");
    assert_eq!(number(&client.read().unwrap().lines()[0], "status"), 201);
}

#[test]
fn a_line_that_is_too_long_is_one_answer() {
    let server = Server::start();
    let mut lines = event("s", "r1", "{}") + "\n";
    lines += &"x".repeat(LONGEST_LINE + 1);
    lines += &format!("\n{}", event("s", "r3", "{}"));
    let answers = server.client().batch(&lines).lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    assert_eq!(told, [(1, 201), (2, 413), (3, 201)]);
}

#[test]
fn keys_that_go_away_end_the_batch_at_a_line_from_which_it_goes_on() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    let send = |client: &mut super::client::Client, n: u32| {
        let line = event("s", &format!("r{n}"), "{}");
        client.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes());
    };
    send(&mut client, 1);
    wait_until(|| server.client().get("/v1/events/s/r1").status == 200);
    server.go_away();
    send(&mut client, 2);
    send(&mut client, 3);
    client.send(b"0\r\n\r\n");
    let answers = client.read().unwrap().lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    assert_eq!(told, [(1, 201), (2, 503)]);
    assert_eq!(code(&answers[1]), "custody_away");
    // All of it again, from the start: what was acknowledged is the same event.
    server.come_back();
    let lines: String = (1..=3).map(|n| event("s", &format!("r{n}"), "{}") + "\n").collect();
    let again = server.client().batch(&lines).lines();
    let told: Vec<_> = again.iter().map(|line| number(line, "status")).collect();
    assert_eq!(told, [200, 201, 201]);
    assert_eq!(again[0].get_str("event_id"), answers[0].get_str("event_id"));
}

#[test]
fn an_end_of_the_service_cuts_a_batch_whose_client_says_nothing_and_keeps_it_waiting_no_longer() {
    let mut server = Server::start();
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    let line = event("s", "r1", "{}");
    client.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes());
    wait_until(|| server.client().get("/v1/events/s/r1").status == 200);
    server.ask_to_stop();
    server.go_away();
    // Its body has no end yet, and gets none.
    server.wait();
    let answers = client.read().unwrap().lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    assert_eq!(told, [(1, 201), (2, 503)]);
    assert_eq!(code(&answers[1]), "stopping");
}

#[test]
fn a_batch_whose_next_line_never_comes_ends_with_what_came() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    let line = event("s", "r1", "{}");
    client.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes());
    client.send(b"5\r\n{\"str\r\n");
    let answers = client.read().unwrap().lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    assert_eq!(told, [(1, 201), (2, 408)]);
}

#[test]
fn blank_lines_keep_no_batch_open() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    wait_until(|| client.try_send(b"1\r\n\n\r\n").is_err());
    let answers = client.read().unwrap().lines();
    assert_eq!(answers.iter().map(|line| number(line, "status")).collect::<Vec<_>>(), [408]);
    assert!(number(&answers[0], "line") > 1);
}

#[test]
fn long_lines_and_short_ones_are_answered_in_order() {
    let server = Server::start();
    let long = |n: u32| event("s", &format!("long{n}"), &format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000)));
    let lines = [long(1), event("s", "short", "{}"), "x".repeat(200_000), long(2), event("s", "last", "{}")].join("\n");
    let answers = server.client().batch(&lines).lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    assert_eq!(told, [(1, 201), (2, 201), (3, 400), (4, 201), (5, 201)]);
    assert_eq!(server.client().payload("s", "one", &format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000))).status, 201);
}

#[test]
fn a_client_that_reads_nothing_is_let_go_and_what_it_sent_stays() {
    let server = Server::with(Rules::of_owner(own_uid(), None), IMPATIENT);
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    // Each line is short, and its answer is long.
    let long = "r".repeat(1000);
    let sent = (0..1_000_000).find(|n| {
        let line = format!("{{\"stream_id\":\"s\",\"source_ref\":\"{long}{n}\"}}\n");
        client.try_send(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).is_err()
    });
    assert!(sent.is_some());
    assert_eq!(server.client().payload("s", "r", "{}").status, 201);
}

#[test]
fn one_user_has_eight_batches_at_once_and_single_events_besides() {
    let server = Server::start();
    let mut open: Vec<_> = (0..8).map(|_| server.client()).collect();
    for (n, client) in open.iter_mut().enumerate() {
        client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
        client.send(b"Transfer-Encoding: chunked\r\n\r\n");
        let line = event("s", &format!("b{n}"), "{}");
        client.send(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes());
        wait_until(|| server.client().get(&format!("/v1/events/s/b{n}")).status == 200);
    }
    let refused = server.client().batch(&event("s", "r", "{}"));
    refused.is(503, "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.client().payload("s", "r", "{}").status, 201);
    open.iter_mut().for_each(|client| client.send(b"0\r\n\r\n"));
    assert!(open.iter_mut().all(|client| client.read().unwrap().lines().len() == 1));
}

#[test]
fn a_server_that_stops_in_the_middle_loses_nothing_that_it_acknowledged() {
    let mut server = Server::start();
    let mut client = server.client();
    client.send(b"POST /v1/events:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n");
    let lines: String = (0..2000).map(|n| event("s", &format!("r{n}"), "{}") + "\n").collect();
    client.send(format!("{:x}\r\n{lines}\r\n", lines.len()).as_bytes());
    wait_until(|| server.client().get("/v1/events/s/r0").status == 200);
    server.ask_to_stop();
    server.go_away();
    // One more, so that the batch sees that there is nobody to bring it to. It may have ended by itself before.
    let _ = client.try_send(b"3\r\n{}\n\r\n0\r\n\r\n");
    let acknowledged = client.read().unwrap().lines();
    server.wait();
    assert_eq!(acknowledged.last().map(|line| number(line, "status")), Some(503));
    // All of it again to the next one: what was acknowledged is the same event, and what was not is there as well.
    let server = server.restart();
    let again = server.client().batch(&lines).lines();
    assert_eq!(again.len(), 2000);
    for (line, before) in again.iter().zip(&acknowledged[..acknowledged.len() - 1]) {
        assert_eq!((number(line, "status"), line.get_str("event_id")), (200, before.get_str("event_id")));
    }
    assert!(again.iter().all(|line| [200, 201].contains(&number(line, "status"))));
    assert_eq!(server.events().len(), 2000);
}
