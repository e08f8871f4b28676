use local_vault::facts::Digest;
use local_vault::protocol::json::{Object, Value};
use local_vault::protocol::witness::{Submission, verify_document};
use local_vault::witness::Submitter;

use super::client::Answer;
use super::server::{PATIENT, Server, code, listed, local, strict};
use super::witness::{checkpoint, rival};

fn of(tenant: &str, submission: Submission) -> Submission {
    Submission { tenant_id: tenant.into(), ..submission }
}

fn list(answer: &Answer, name: &str) -> Vec<Object> {
    let object = answer.object();
    let list = object.get(name).and_then(Value::as_array).unwrap_or_else(|| panic!("{object:?}"));
    list.iter().map(|item| item.as_object().unwrap().clone()).collect()
}

#[test]
fn nobody_sees_or_submits_for_another_tenant() {
    let server = Server::for_submitters(vec![local("a", &["ten_1"])]);
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    assert_eq!(server.submit(&rival(1, None)).status, 409);
    // The last signature is written down with the turn that follows it.
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 201);
    let refused = server.submit(&of("ten_2", checkpoint(1, None)));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "not_allowed"));
    for path in ["forks", "heads", "checkpoints/chk_1", "checkpoints/no_such_thing"] {
        let refused = server.get(&format!("/witness/v1/{path}?tenant_id=ten_2"));
        // Whether there is anything is not told.
        assert_eq!((refused.status, code(&refused).as_str()), (403, "not_allowed"), "{path}");
    }
    assert_eq!(list(&server.get("/witness/v1/heads"), "heads").len(), 1);
    assert_eq!(list(&server.get("/witness/v1/forks?tenant_id=ten_1"), "forks").len(), 1);
    assert_eq!(list(&server.get("/witness/v1/checkpoints/chk_1"), "receipts").len(), 1);
    assert_eq!(server.get("/witness/v1/checkpoints/chk_3").status, 404);
}

#[test]
fn what_another_tenant_has_is_not_among_ones_own() {
    // Somebody else's, submitted by the operator before this list was there.
    let server = Server::start();
    for tenant in ["ten_1", "ten_2", "ten_3"] {
        assert_eq!(server.submit(&of(tenant, checkpoint(1, None))).status, 201);
        assert_eq!(server.submit(&of(tenant, rival(1, None))).status, 409);
    }
    let tenants = ["ten_1".to_owned(), "ten_3".to_owned()].into();
    let reader = local_vault::witness::WitnessReader::open(&server.path()).unwrap();
    assert_eq!(reader.heads(Some(&tenants), 0, 10).unwrap().0.len(), 2);
    assert_eq!(reader.checkpoint(Some(&tenants), "chk_1").unwrap().len(), 2);
    assert_eq!(list(&server.get("/witness/v1/heads"), "heads").len(), 3);
    // The last signature is written down with the turn that follows it.
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 201);
    assert_eq!(reader.forks(Some(&tenants), 0, 10).unwrap().len(), 2);
}

#[test]
fn a_head_that_is_not_signed_yet_does_not_hide_the_one_before_it() {
    let server = Server::start();
    for n in 1..=2 {
        assert_eq!(server.submit(&checkpoint(n, (n > 1).then_some(n - 1))).status, 201);
    }
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 200);
    // As in the moment before it is written down, and after a crash in it.
    let db = rusqlite::Connection::open(server.path()).unwrap();
    db.execute("UPDATE receipts SET public_key = NULL, signature = NULL WHERE seq_no = 2", []).unwrap();
    let heads = list(&server.get("/witness/v1/heads"), "heads");
    let numbers: Vec<_> =
        heads.iter().map(|head| head.get_object("statement").unwrap().get("checkpoint_seq_no").cloned()).collect();
    assert_eq!(numbers, [Some(1_i64.into())]);
}

#[test]
fn evidence_comes_in_pages() {
    let server = Server::start();
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    for n in 10..15 {
        let fork = Submission { checkpoint_hash: format!("{n:064}"), ..rival(1, None) };
        assert_eq!(server.submit(&fork).status, 409);
    }
    assert_eq!(server.submit(&checkpoint(2, Some(1))).status, 201);
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = server.get(&format!("/witness/v1/forks?after={after}&limit=2"));
        seen.extend(list(&page, "forks"));
        match page.object().get("next").and_then(Value::as_i64) {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    let verifier = seen[0].get_object("verifier").unwrap();
    assert_eq!(verifier.get_str("result"), Some("verifier_rejects_ambiguous_history"));
}

#[test]
fn the_identity_is_signed_and_says_what_the_witness_goes_by() {
    let server = Server::start();
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);
    let signed = server.get("/witness/v1/identity").object();
    let document = verify_document(&signed, "identity", server.signer.public_key()).unwrap();
    assert_eq!(document.get_str("witness_id"), Some("ins_1"));
    assert_eq!(document.get_object("anchor").unwrap().get_str("kind"), Some("none"));
    // The rules in their canonical form, as docs/witness-api.md has them.
    let policy =
        r#"{"anchor":"none","anchor_interval_ms":0,"first_use":"accept","longest_jump":null,"peers":[],"quorum":1}"#;
    assert_eq!(document.get_str("policy_digest"), Some(&*Digest::of(policy.as_bytes()).to_string()));
}

#[test]
fn a_stream_is_added_by_the_operator_and_pinned_to_its_submitter() {
    let pinned = |name: &str| {
        Object::new()
            .with("change", "add-stream")
            .with("tenant_id", "ten_1")
            .with("stream_id", "str_1")
            .with("submitter", name)
            .with("consent", "contract 7")
    };
    let submitters =
        vec![local("ci", &["ten_1"]), Submitter { key: Some(Digest::of(b"k")), ..listed("b", &["ten_1"]) }];
    let server = Server::with(submitters, PATIENT, "ins_1", strict());
    assert_eq!(code(&server.submit(&checkpoint(1, None))), "unknown_stream");
    let added = server.post("/witness/v1/changes", &pinned("ci"));
    assert_eq!(added.status, 200, "{:?}", added.object());
    let twice = server.post("/witness/v1/changes", &pinned("ci"));
    assert_eq!((twice.status, code(&twice).as_str()), (422, "change_refused"));
    assert_eq!(server.submit(&checkpoint(1, None)).status, 201);

    let server = Server::with(vec![local("ci", &["ten_1"])], PATIENT, "ins_1", strict());
    assert_eq!(server.post("/witness/v1/changes", &pinned("b")).status, 200);
    let refused = server.submit(&checkpoint(1, None));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "not_allowed"));
}
