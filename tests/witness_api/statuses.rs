use local_vault::http::JSON;
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::Submission;
use local_vault::witness::{OPENAPI, Presence};

use super::client::Answer;
use super::server::{PATIENT, Server, code, strict};
use super::witness::{checkpoint, rival};

const CHECKPOINTS: &str = "/witness/v1/checkpoints";

fn outcome(answer: &Answer) -> (u16, String) {
    (answer.status, code(answer))
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_checkpoint_is_accepted_replayed_or_forked() {
    let server = Server::start();
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    assert_eq!(server.submit(&checkpoint(1, None)).status, 200);
    let forked = server.submit(&rival(1, None));
    assert_eq!(forked.status, 409);
    assert!(forked.object().get_object("forkEvidence").is_some());
}

#[test]
fn fork_evidence_is_handed_to_who_tells_of_it() {
    let mut server = Server::start();
    server.submit(&checkpoint(1, None));
    let forked = server.submit(&rival(1, None)).object();
    assert_eq!(server.forks.try_recv().ok().as_ref(), forked.get_object("forkEvidence"));
    assert!(server.forks.try_recv().is_err());
}

#[test]
fn what_is_no_submission_is_refused_by_name() {
    let server = Server::start();
    let other = Submission { witness_id: "ins_2".into(), ..checkpoint(1, None) };
    assert_eq!(outcome(&server.submit(&other)), is(400, "other_witness"));
    let low = Submission { checkpoint_seq_no: 0, ..checkpoint(1, None) };
    assert_eq!(outcome(&server.submit(&low)), is(400, "body_invalid"));
    for body in ["", "{", "[]", "{}", r#"{"checkpoint":{}}"#] {
        assert_eq!(
            outcome(&server.client().post(CHECKPOINTS, JSON, body.as_bytes())),
            is(400, "body_invalid"),
            "{body}"
        );
    }
    let wrapped = Object::new().with("checkpoint", checkpoint(1, None).to_object());
    for (name, value) in [("x", 1_u32), ("known_receipts", 1), ("submitter_signature", 1)] {
        let body = wrapped.clone().with(name, value);
        assert_eq!(outcome(&server.post(CHECKPOINTS, &body)), is(400, "body_invalid"), "{name}");
    }
    assert_eq!(outcome(&server.client().post(CHECKPOINTS, "text/plain", b"{}")), is(415, "type_unsupported"));
    assert_eq!(server.post(CHECKPOINTS, &wrapped).status, 201);
    let mut left_out = checkpoint(1, None).to_object();
    left_out.remove("witness_id");
    assert_eq!(server.post(CHECKPOINTS, &left_out).status, 200);
}

#[test]
fn our_own_rules_have_codes_of_their_own() {
    let server = Server::with(Vec::new(), PATIENT, "ins_1", strict());
    assert_eq!(outcome(&server.submit(&checkpoint(1, None))), is(404, "unknown_stream"));
    let add = Object::new().with("change", "add-stream").with("tenant_id", "ten_1").with("stream_id", "str_1");
    assert_eq!(server.post("/witness/v1/changes", &add.with("consent", "c")).status, 200);
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    assert_eq!(outcome(&server.submit(&checkpoint(12, Some(1)))), is(422, "jump"));
}

#[test]
fn paths_and_methods_are_known_or_refused() {
    let server = Server::start();
    for path in ["identity", "forks", "heads", "openapi.json", "checkpoints/chk_1"] {
        let refused = server.client().request("DELETE", &format!("/witness/v1/{path}"));
        assert_eq!(
            (outcome(&refused), refused.header("allow")),
            (is(405, "method_not_allowed"), Some("GET")),
            "{path}"
        );
    }
    assert_eq!(server.get(CHECKPOINTS).header("allow"), Some("POST"));
    assert_eq!(outcome(&server.get("/witness/v1/other")), is(404, "not_found"));
    assert_eq!(outcome(&server.get("/witness/v1/forks?after=x")), is(400, "path_invalid"));
    assert_eq!(outcome(&server.get("/witness/v1/checkpoints/chk_1")), is(404, "not_found"));
    assert_eq!(server.get("/v1/events").status, 418);
}

#[test]
fn a_witness_that_is_not_there_says_why_and_the_document_is_served_all_the_same() {
    let server = Server::start();
    let there = server.presence.send_replace(Presence::Away);
    let away = server.submit(&checkpoint(1, None));
    assert_eq!((outcome(&away), away.header("retry-after")), (is(503, "custody_away"), Some("5")));
    assert_eq!(outcome(&server.get("/witness/v1/identity")), is(503, "custody_away"));
    server.presence.send_replace(Presence::Stopped("rollback-detected".into()));
    let stopped = server.submit(&checkpoint(1, None));
    assert_eq!((outcome(&stopped), stopped.header("retry-after")), (is(503, "stopped"), None));
    let error = stopped.object().get_object("error").unwrap().clone();
    assert_eq!(error.get_str("incident"), Some("rollback-detected"));
    server.presence.send_replace(Presence::Ending);
    assert_eq!(outcome(&server.submit(&checkpoint(1, None))), is(503, "stopping"));
    assert_eq!(server.get("/witness/v1/openapi.json").body, OPENAPI.as_bytes());
    server.presence.send_replace(there);
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
}

#[test]
fn what_was_signed_is_looked_up_also_while_nothing_is() {
    let server = Server::start();
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    assert_eq!(server.submit(&rival(1, None)).status, 409);
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 201);
    // The last signature is written down with the turn that follows it.
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 200);
    let paths = ["heads", "checkpoints/chk_1", "forks"].map(|path| format!("/witness/v1/{path}"));
    let before = paths.each_ref().map(|path| server.get(path).object());
    server.presence.send_replace(Presence::Away);
    assert_eq!(paths.each_ref().map(|path| server.get(path).object()), before);
    server.presence.send_replace(Presence::Stopped("rolled-back".into()));
    // Whoever takes heads for floors is told what they are worth.
    let heads = before[0].clone().with("stopped", "rolled-back");
    assert_eq!(
        paths.each_ref().map(|path| server.get(path).object())[..],
        [heads, before[1].clone(), before[2].clone()]
    );
    server.presence.send_replace(Presence::Ending);
    assert_eq!(outcome(&server.get(&paths[0])), is(503, "stopping"));
}

#[test]
fn a_receipt_that_the_state_does_not_know_stops_the_witness_until_the_operator_allows_it_to_go_on() {
    let lost = Server::start();
    assert_eq!(lost.submit(&checkpoint(1, None)).status, 201);
    let receipt = lost.submit(&checkpoint(1, None)).object().get_object("receipt").unwrap().clone();
    // The same key over another state: it was rolled back.
    let server = Server::start();
    let body = Object::new().with("checkpoint", checkpoint(1, None).to_object()).with("known_receipts", vec![receipt]);
    assert_eq!(outcome(&server.post(CHECKPOINTS, &body)), is(503, "stopped"));
    assert_eq!(outcome(&server.submit(&checkpoint(1, None))), is(503, "stopped"));
    let identity = server.get("/witness/v1/identity").object();
    assert_eq!(identity.get_object("document").unwrap().get_str("stopped"), Some("own-signature-ahead"));
    let accept = Object::new().with("change", "accept").with("what", "own-signature-ahead");
    let accept = accept.with("allowed_by", "A. Operator").with("reason", "a copy was restored");
    assert_eq!(server.post("/witness/v1/changes", &accept).status, 200);
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
}
