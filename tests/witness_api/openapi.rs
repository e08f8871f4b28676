use std::collections::{BTreeMap, BTreeSet};

use local_vault::protocol::json::{self, Object, Value};
use local_vault::witness::{Code, OPENAPI, Presence};

use super::client::Answer;
use super::server::Server;
use super::witness::{checkpoint, rival};

fn at<'a>(object: &'a Object, path: &[&str]) -> &'a Object {
    path.iter().fold(object, |object, name| object.get_object(name).unwrap_or_else(|| panic!("{name}")))
}

fn names(object: &Object) -> BTreeSet<&str> {
    object.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn it_has_every_code_with_its_status_and_no_others() {
    let document = json::parse(OPENAPI.as_bytes()).unwrap();
    let code = at(&document, &["components", "schemas", "Error", "properties", "error", "properties", "code"]);
    let listed = code.get("enum").and_then(Value::as_array).unwrap();
    assert_eq!(listed.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>(), Code::ALL.map(Code::name).into());
    let mut statuses = BTreeSet::new();
    for (_, path) in at(&document, &["paths"]).iter() {
        for (_, method) in path.as_object().unwrap().iter() {
            statuses.extend(at(method.as_object().unwrap(), &["responses"]).iter().map(|(status, _)| status.clone()));
        }
    }
    let known = Code::ALL.map(|code| code.status().as_str().to_owned()).into_iter();
    assert_eq!(statuses, known.chain(["200".into(), "201".into(), "409".into()]).collect());
}

/// Whatever the routes answer here is in the document: its status under its path and method, and its members.
#[test]
fn it_has_every_answer() {
    let document = json::parse(OPENAPI.as_bytes()).unwrap();
    let schemas = at(&document, &["components", "schemas"]);
    let mut seen: BTreeMap<(&str, &str), BTreeSet<u16>> = BTreeMap::new();
    let mut check = |path: &'static str, method: &'static str, schema: &str, answer: &Answer| {
        let responses = at(&document, &["paths", path, method, "responses"]);
        assert!(responses.get(&answer.status.to_string()).is_some(), "{path} {method}: {}", answer.status);
        let object = answer.object();
        if let Some(error) = object.get_object("error") {
            let members = at(schemas, &["Error", "properties", "error", "properties"]);
            assert!(names(error).is_subset(&names(members)), "{error:?}");
        } else if !schema.is_empty() {
            assert!(names(&object).is_subset(&names(at(schemas, &[schema, "properties"]))), "{object:?}");
        }
        seen.entry((path, method)).or_default().insert(answer.status);
    };
    let server = Server::start();
    let checkpoints = "/witness/v1/checkpoints";
    let low = local_vault::protocol::witness::Submission { checkpoint_seq_no: 0, ..checkpoint(1, None) };
    for submission in [checkpoint(1, None), checkpoint(1, None), rival(1, None), low, checkpoint(2, Some(1))] {
        check(checkpoints, "post", "Verdict", &server.submit(&submission));
    }
    for id in ["chk_1", "no"] {
        let path = format!("{checkpoints}/{id}");
        check("/witness/v1/checkpoints/{checkpoint_id}", "get", "Receipts", &server.get(&path));
    }
    let forks = server.get("/witness/v1/forks?limit=1");
    check("/witness/v1/forks", "get", "Forks", &forks);
    let forks = forks.object();
    let fork = forks.get("forks").and_then(Value::as_array).unwrap()[0].as_object().unwrap();
    assert_eq!(names(fork), names(at(schemas, &["Fork", "properties"])));
    check("/witness/v1/heads", "get", "Heads", &server.get("/witness/v1/heads"));
    let identity = server.get("/witness/v1/identity");
    check("/witness/v1/identity", "get", "Identity", &identity);
    let identity = identity.object();
    assert_eq!(names(at(&identity, &["document"])), names(at(schemas, &["IdentityDocument", "properties"])));
    let add = Object::new().with("change", "add-stream").with("tenant_id", "t").with("stream_id", "s");
    for change in [add.clone(), add.clone().with("consent", "c"), add.with("consent", "c")] {
        check("/witness/v1/changes", "post", "Changed", &server.post("/witness/v1/changes", &change));
    }
    check("/witness/v1/openapi.json", "get", "", &server.get("/witness/v1/openapi.json"));
    server.presence.send_replace(Presence::Away);
    check(checkpoints, "post", "Verdict", &server.submit(&checkpoint(3, Some(2))));
    assert_eq!(seen[&(checkpoints, "post")], [200, 201, 400, 409, 503].into());
    // And it has no paths besides.
    assert_eq!(at(&document, &["paths"]).len(), seen.len());
}
