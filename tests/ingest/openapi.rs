use std::collections::{BTreeMap, BTreeSet};

use local_vault::ingest::{Code, OPENAPI, Submission};
use local_vault::protocol::json::{self, Object, Value};
use local_vault::spool::State;

use super::client::{Answer, event};
use super::server::Server;

fn at<'a>(object: &'a Object, path: &[&str]) -> &'a Object {
    path.iter().fold(object, |object, name| object.get_object(name).unwrap_or_else(|| panic!("{name}")))
}

fn names(object: &Object) -> BTreeSet<&str> {
    object.iter().map(|(name, _)| name.as_str()).collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_document_is_served_as_it_is_written() {
    let served = Server::start().client().get("/v1/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert_eq!(served.body, OPENAPI.as_bytes());
    assert_eq!(served.object().get_str("openapi"), Some("3.1.0"));
}

#[test]
fn it_has_every_code_with_its_status_and_no_others() {
    let document = json::parse(OPENAPI.as_bytes()).unwrap();
    let schemas = at(&document, &["components", "schemas"]);
    let code = at(schemas, &["Error", "properties", "error", "properties", "code"]);
    assert_eq!(texts(code.get("enum").unwrap()), Code::ALL.map(Code::name).into_iter().collect());
    let mut statuses = BTreeSet::new();
    for (_, path) in at(&document, &["paths"]).iter() {
        for (_, method) in path.as_object().unwrap().iter() {
            statuses.extend(at(method.as_object().unwrap(), &["responses"]).iter().map(|(status, _)| status.clone()));
        }
    }
    let known = Code::ALL.map(|code| code.status().as_str().to_owned()).into_iter().chain(["200".into(), "201".into()]);
    assert_eq!(statuses, known.collect());
}

#[test]
fn it_has_the_states_and_the_members_that_there_are() {
    let document = json::parse(OPENAPI.as_bytes()).unwrap();
    let schemas = at(&document, &["components", "schemas"]);
    let states = at(schemas, &["Event", "properties", "state"]).get("enum").unwrap();
    assert_eq!(texts(states), State::ALL.map(State::name).into_iter().collect());
    let members = names(at(schemas, &["NewEvent", "properties"]));
    let hash = "ab".repeat(32);
    for content in [
        r#""payload":{},"attest":true"#.to_owned(),
        r#""content":"""#.to_owned(),
        format!(r#""payload_hash":"{hash}","payload_hash_of":"bytes""#),
    ] {
        let body = format!(r#"{{"stream_id":"s","source_ref":"r",{content}}}"#);
        assert!(Submission::read(body.as_bytes()).is_ok(), "{body}");
        assert!(names(&json::parse(body.as_bytes()).unwrap()).is_subset(&members), "{body}");
    }
    assert_eq!(members.len(), 7);
}

/// Whatever the routes answer here is in the document: its status under its path and method, and its members.
#[test]
fn it_has_every_answer() {
    let document = json::parse(OPENAPI.as_bytes()).unwrap();
    let schemas = at(&document, &["components", "schemas"]);
    let mut seen: BTreeMap<(&str, &str), BTreeSet<u16>> = BTreeMap::new();
    let mut check = |path: &'static str, method: &'static str, answer: &Answer| {
        let responses = at(&document, &["paths", path, method, "responses"]);
        assert!(responses.get(&answer.status.to_string()).is_some(), "{path} {method}: {}", answer.status);
        let object = answer.object();
        if let Some(error) = object.get_object("error") {
            let members = at(schemas, &["Error", "properties", "error", "properties"]);
            assert!(names(error).is_subset(&names(members)), "{error:?}");
        } else if path != "/v1/openapi.json" {
            assert_eq!(names(&object), names(at(schemas, &["Event", "properties"])));
        }
        seen.entry((path, method)).or_default().insert(answer.status);
    };
    let server = Server::start();
    let mut client = server.client();
    for body in [event("s", "r", "{}"), event("s", "r", "{}"), event("s", "r", r#"{"n":1}"#), String::new()] {
        check("/v1/events", "post", &client.event(&body));
    }
    check("/v1/events", "post", &server.client().post("/v1/events", "text/plain", b"{}"));
    for path in ["/v1/events/s/r", "/v1/events/s/other", "/v1/events/s/%"] {
        check("/v1/events/{stream}/{ref}", "get", &client.get(path));
    }
    check("/v1/events:batch", "post", &server.client().post("/v1/events:batch", "text/plain", b"{}"));
    check("/v1/openapi.json", "get", &client.get("/v1/openapi.json"));
    let lines = client.batch(&format!("{}\n-", event("s", "r", "{}"))).lines();
    let line = names(at(schemas, &["Line", "properties"]));
    assert!(lines.iter().all(|answer| line.is_subset(&names(answer))), "{lines:?}");
    assert_eq!(lines.len(), 2);
    server.go_away();
    check("/v1/events", "post", &client.payload("s", "r", "{}"));
    check("/v1/events:batch", "post", &client.batch(""));
    assert_eq!(seen[&("/v1/events", "post")], [200, 201, 400, 409, 415, 503].into());
    // And it has no paths besides.
    assert_eq!(at(&document, &["paths"]).len(), seen.len());
}
