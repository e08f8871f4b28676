use local_vault::ingest::{LONGEST_ID, LONGEST_LINE, LONGEST_PAYLOAD, Rules};
use local_vault::spool::{Limits, State};

use super::client::{event, number};
use super::server::{Server, own_uid};

#[test]
fn an_event_is_new_once_and_the_same_ever_after() {
    let server = Server::start();
    let mut client = server.client();
    let new = client.payload("s", "r", r#"{"b":1, "a":2}"#);
    assert_eq!(new.status, 201);
    let object = new.object();
    assert_eq!((object.get_str("stream_id"), object.get_str("source_ref")), (Some("s"), Some("r")));
    assert_eq!((object.get_str("state"), object.get("known")), (Some("queued"), Some(&false.into())));
    // Another spelling of the same content, on the same connection and on another.
    for client in [&mut client, &mut server.client()] {
        let same = client.payload("s", "r", r#"{"a":2,"b":1}"#);
        assert_eq!((same.status, same.event_id()), (200, new.event_id()));
        assert_eq!(same.object().get("known"), Some(&true.into()));
    }
    let [spooled] = server.events().try_into().unwrap();
    assert_eq!((spooled.event_id, spooled.state), (new.event_id(), State::Queued));
    assert_eq!(server.payload(new.event_id()).to_canonical(), br#"{"a":2,"b":1}"#);
}

#[test]
fn other_content_under_the_same_reference_is_a_conflict_that_names_the_event() {
    let server = Server::start();
    let mut client = server.client();
    let first = client.payload("s", "r", r#"{"n":1}"#);
    let conflict = client.payload("s", "r", r#"{"n":2}"#);
    conflict.is(409, "source_ref_conflict");
    let error = conflict.object();
    let named = error.get_object("error").unwrap().get_str("event_id").unwrap().to_owned();
    assert_eq!(named, first.event_id().to_string());
    assert_eq!(conflict.header("retry-after"), None);
    assert_eq!(server.payload(first.event_id()).to_canonical(), br#"{"n":1}"#);
}

#[test]
fn a_reference_in_use_in_another_stream_is_refused_without_naming_the_event() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.payload("s", "r", "{}").status, 201);
    let refused = client.payload("t", "r", "{}");
    refused.is(409, "source_ref_in_use");
    assert!(!String::from_utf8(refused.body).unwrap().contains("lv_"));
}

#[test]
fn an_event_is_found_by_its_percent_encoded_reference() {
    let server = Server::start();
    let mut client = server.client();
    let spooled = client.payload("a/b ä", "x%2F/y", "{}");
    let found = client.get("/v1/events/a%2Fb%20%C3%A4/x%252F%2Fy");
    assert_eq!((found.status, found.event_id()), (200, spooled.event_id()));
    client.get("/v1/events/a%2Fb%20%C3%A4/other").is(404, "not_found");
    client.get("/v1/events/a/b/c").is(404, "not_found");
    client.get("/v1/events/a/%zz").is(400, "id_invalid");
    client.get(&format!("/v1/events/a/{}", "x".repeat(LONGEST_ID + 1))).is(400, "id_invalid");
}

#[test]
fn other_methods_are_405_and_other_paths_somebody_elses() {
    let server = Server::start();
    let mut client = server.client();
    for (method, path, allowed) in [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/events:batch", "POST"),
        ("PUT", "/v1/events/s/r", "GET"),
        ("POST", "/v1/openapi.json", "GET"),
    ] {
        let answer = client.request(method, path);
        answer.is(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed));
    }
    assert_eq!(client.get("/v1/status").status, 418);
    assert_eq!(client.get("/").status, 418);
}

#[test]
fn a_body_of_another_type_or_of_no_known_length_is_refused() {
    let server = Server::start();
    let body = event("s", "r", "{}");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson", ""] {
        server.client().post("/v1/events", kind, body.as_bytes()).is(415, "type_unsupported");
    }
    assert_eq!(server.client().post("/v1/events", "Application/JSON; charset=utf-8", body.as_bytes()).status, 201);
    let mut client = server.client();
    client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    client.send(b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}");
    client.read().unwrap().is(415, "type_unsupported");
    let mut client = server.client();
    client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    client.send(b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n");
    client.read().unwrap().is(411, "length_required");
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_sent() {
    let server = Server::start();
    let mut client = server.client();
    client.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    client.send(format!("Content-Length: {}\r\n\r\n", LONGEST_LINE + 1).as_bytes());
    client.read().unwrap().is(413, "body_too_large");
    // As long as a body may be, and longer than a payload may be.
    let payload = format!(r#"{{"x":"{}"}}"#, "x".repeat(LONGEST_PAYLOAD));
    server.client().payload("s", "r", &payload).is(413, "body_too_large");
    let payload = format!(r#"{{"x":"{}"}}"#, "x".repeat(LONGEST_PAYLOAD - 8));
    assert_eq!(server.client().payload("s", "r", &payload).status, 201);
}

#[test]
fn whatever_is_no_event_is_400_and_leaves_nothing_behind() {
    let server = Server::start();
    let mut client = server.client();
    for body in ["", "{", "[]", "{}", r#"{"stream_id":"s","source_ref":"r","payload":{},"x":1}"#] {
        client.event(body).is(400, "body_invalid");
    }
    client.payload("", "r", "{}").is(400, "id_invalid");
    client.payload("s", &"r".repeat(LONGEST_ID + 1), "{}").is(400, "id_invalid");
    assert!(server.events().is_empty());
}

#[test]
fn while_the_keys_are_away_events_are_503_with_a_time_and_then_taken() {
    let server = Server::start();
    let mut client = server.client();
    server.go_away();
    let away = client.payload("s", "r", "{}");
    away.is(503, "custody_away");
    assert!(away.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    client.get("/v1/events/s/r").is(503, "custody_away");
    client.batch(&event("s", "r", "{}")).is(503, "custody_away");
    server.come_back();
    assert_eq!(client.payload("s", "r", "{}").status, 201);
}

#[test]
fn a_full_spool_is_507_for_what_is_new_and_200_for_what_it_has() {
    let server = Server::start();
    server.come_back_with(Limits { events: Some(2), ..Limits::default() });
    let mut client = server.client();
    assert_eq!(client.payload("s", "r1", "{}").status, 201);
    let lines: String = (1..=4).map(|n| event("s", &format!("r{n}"), "{}") + "\n").collect();
    let answers = client.batch(&lines).lines();
    let told: Vec<_> = answers.iter().map(|line| (number(line, "line"), number(line, "status"))).collect();
    // Nothing behind the first that had no room was looked at.
    assert_eq!(told, [(1, 200), (2, 201), (3, 507)]);
    let full = client.payload("s", "r3", "{}");
    full.is(507, "spool_full");
    assert!(full.header("retry-after").is_some());
    assert_eq!(client.payload("s", "r2", "{}").status, 200);
    assert_eq!(server.events().len(), 2);
}

#[test]
fn in_maintenance_new_events_are_503_and_known_ones_are_found() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.payload("s", "r1", "{}").status, 201);
    server.set_maintenance(Some("a new disk"));
    let refused = client.payload("s", "r2", "{}");
    refused.is(503, "maintenance");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(client.payload("s", "r1", "{}").status, 200);
    assert_eq!(client.get("/v1/events/s/r1").status, 200);
    server.set_maintenance(None);
    assert_eq!(client.payload("s", "r2", "{}").status, 201);
}

#[test]
fn sixty_four_connections_are_served_side_by_side_and_nothing_is_lost() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for n in 0..64 {
            let mut client = server.client();
            scope.spawn(move || {
                for i in 0..8 {
                    assert_eq!(client.payload(&format!("s{n}"), &format!("{n}/{i}"), "{}").status, 201);
                }
            });
        }
    });
    let mut events = server.events();
    assert_eq!(events.len(), 64 * 8);
    // The order of a connection is the order of its stream.
    events.sort_by_key(|event| event.seq);
    for n in 0..64 {
        let refs: Vec<_> = events.iter().filter(|e| e.stream_id == format!("s{n}")).map(|e| &e.source_ref).collect();
        assert_eq!(refs, (0..8).map(|i| format!("{n}/{i}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_reload_changes_who_may_submit() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.payload("s", "r", "{}").status, 201);
    server.change_rules(Rules::new(Vec::new(), None).unwrap());
    client.payload("s", "r2", "{}").is(403, "not_allowed");
    server.change_rules(Rules::of_owner(own_uid(), None));
    assert_eq!(server.client().payload("s", "r2", "{}").status, 201);
}
