use std::sync::Arc;

use local_vault::custody::file::FileKey;
use local_vault::facts::Timestamp;
use local_vault::protocol::json::{self, Object, Value};
use local_vault::witness::{Setup, Submitter};

use super::custody::is_only_for_files;
use super::mutual::Authority;
use super::server::{Server, listed};
use super::witness::{Told, setup, signer};

/// The sequences that the published package answered, each step in its turn over the socket and over mTLS.
#[test]
fn checkpoints_are_witnessed_over_http_as_the_package_does() {
    if is_only_for_files("the vectors' keys are given") {
        return;
    }
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/witness.jsonl")).unwrap();
    let mut steps = 0;
    for row in text.lines() {
        let row = json::parse(row.as_bytes()).unwrap();
        steps += sequence(&row);
    }
    assert_eq!(steps, 800);
}

fn sequence(row: &Object) -> usize {
    let steps = row.get("steps").and_then(Value::as_array).unwrap();
    let step = |at: usize| steps[at].as_object().unwrap();
    let witness_id = step(0).get_object("submit").unwrap().get_str("witness_id").unwrap();
    let authority = Authority::new();
    let guest = authority.guest();
    let tenants: Vec<&str> =
        (0..steps.len()).filter_map(|at| step(at).get_object("submit")?.get_str("tenant_id")).collect();
    let remote = Submitter { key: Some(guest.key), ..listed("remote", &tenants) };
    let times = Told::at(Timestamp::from_millis(0));
    let seed: [u8; 32] = hex::decode(row.get_str("private_key_hex").unwrap()).unwrap().try_into().unwrap();
    let signer = signer(row.get_str("key_id").unwrap(), Arc::new(FileKey::from_seed(seed)));
    let setup = Setup { times: times.clone(), ..setup(signer) };
    let server = Server::of(vec![remote], super::server::PATIENT, witness_id, setup, authority);
    let client = server.authority.client(Some(&guest));
    let url = format!("https://localhost:{}/witness/v1/checkpoints", server.port);
    for at in 0..steps.len() {
        let step = step(at);
        times.set(Timestamp::parse(step.get_str("accepted_at").unwrap()).unwrap());
        let submit = step.get_object("submit").unwrap();
        let (status, answer) = if at % 2 == 0 {
            let answer = server.post("/witness/v1/checkpoints", submit);
            (answer.status, answer.object())
        } else {
            let sent = client.post(&url).header("content-type", "application/json").body(submit.to_canonical());
            server.runtime().block_on(async {
                let answer = sent.send().await.unwrap();
                (answer.status().as_u16(), json::parse(&answer.bytes().await.unwrap()).unwrap())
            })
        };
        if step.get("rejected").is_some() {
            assert_eq!(status, 400, "step {at}: {answer:?}");
            continue;
        }
        let expected = without_random_ids(step.get_object("result").unwrap());
        assert_eq!(without_random_ids(&answer), expected, "step {at}");
        let is = |name: &str| expected.get(name).and_then(Value::as_bool).unwrap();
        let is_as = if is("replayed") {
            200
        } else if is("accepted") {
            201
        } else {
            409
        };
        assert_eq!(status, is_as, "step {at}");
    }
    steps.len()
}

fn without_random_ids(result: &Object) -> Object {
    let mut result = result.clone();
    for (outer, id) in [("receipt", "witness_receipt_id"), ("forkEvidence", "fork_evidence_id")] {
        if let Some(object) = result.get_object(outer) {
            let mut object = object.clone();
            assert!(object.remove(id).is_some());
            result = result.with(outer, object);
        }
    }
    result
}
