use local_vault::facts::Timestamp;
use local_vault::protocol::json::{Object, Value};
use local_vault::protocol::witness::{ForkEvidence, Statement, Submission, receipt, sealed_fork_evidence};
use local_vault::protocol::{Domain, Preimage};

use super::vault::{INSTALLATION, Pair, Vault};

const KID: &str = "local-vault-1";

fn attestation(vault: &Vault) -> Object {
    let record = Object::new().with("kind", "pkcs11-key-custody").with("version", "0.1");
    let signature = vault.sign(&Preimage::new(Domain::Attestation, &record));
    Object::new().with("record", record).with("signature", signature.to_hex())
}

fn submission() -> Submission {
    Submission {
        witness_id: INSTALLATION.into(),
        tenant_id: "ten_1".into(),
        stream_id: "str_1".into(),
        checkpoint_id: "chk_1".into(),
        checkpoint_seq_no: 1,
        checkpoint_hash: "1a".repeat(32),
        previous_checkpoint_hash: None,
    }
}

fn accepted(vault: &Vault, submission: Submission) -> Object {
    let accepted_at = Timestamp::from_millis(1_800_000_000_000);
    let statement = Statement { submission, key_epoch: KID.into(), accepted_at };
    let signature = vault.sign(&statement.preimage());
    let receipt = receipt("lwr_1", &statement, &vault.public_key(), &signature);
    output(true).with("receipt", receipt)
}

fn forked(vault: &Vault) -> Object {
    let created_at = Timestamp::from_millis(1_800_000_000_000);
    let evidence = ForkEvidence { head: None, submission: submission(), created_at };
    let signature = vault.sign(&evidence.preimage());
    let sealed = sealed_fork_evidence("lwf_1", &evidence, KID, &vault.public_key(), &signature);
    output(false).with("forkEvidence", sealed)
}

/// What `witness-checkpoint` prints, still without its content.
fn output(accepted: bool) -> Object {
    let empty = Object::new().with("receipt", Value::Null).with("forkEvidence", Value::Null);
    empty.with("accepted", accepted).with("replayed", false)
}

#[tokio::test]
async fn an_attestation_is_new_once() {
    let pair = Pair::start();
    let statuses = [
        pair.post("attestations", &attestation(&pair.vault)).await.status,
        pair.post("attestations", &attestation(&pair.vault)).await.status,
    ];
    assert_eq!(statuses, [201, 200]);
    assert_eq!(pair.sandbox.count("attestations").await, 1);
}

#[tokio::test]
async fn an_attestation_that_the_installation_did_not_sign_is_refused() {
    let pair = Pair::start();
    let changed = attestation(&pair.vault).with("record", Object::new().with("kind", "tpm2-quote"));
    for unsigned in [attestation(&Vault::new(8)), changed] {
        let refusal = pair.post("attestations", &unsigned).await.refusal();
        assert_eq!(refusal, (401, "signature_invalid".into()));
    }
    for malformed in [Object::new(), attestation(&pair.vault).with("signature", "zz")] {
        let refusal = pair.post("attestations", &malformed).await.refusal();
        assert_eq!(refusal, (400, "request_invalid".into()));
    }
    assert_eq!(pair.sandbox.count("rejected").await, 4);
}

#[tokio::test]
async fn receipts_and_fork_evidence_of_the_installation_are_new_once() {
    let pair = Pair::start();
    for output in [accepted(&pair.vault, submission()), forked(&pair.vault)] {
        assert_eq!(pair.post("witness/checkpoints", &output).await.status, 201);
        let replayed = output.with("replayed", true);
        assert_eq!(pair.post("witness/checkpoints", &replayed).await.status, 200);
    }
    assert_eq!(pair.sandbox.count("checkpoints").await, 2);
}

#[tokio::test]
async fn a_receipt_of_another_key_or_changed_since_is_refused() {
    let pair = Pair::start();
    let stranger = Vault::new(8);
    let mut changed = accepted(&pair.vault, submission());
    let other = accepted(&pair.vault, Submission { checkpoint_seq_no: 2, ..submission() });
    let signature = changed.get_object("receipt").and_then(|receipt| receipt.get("signature")).unwrap().clone();
    changed = changed.with("receipt", other.get_object("receipt").unwrap().clone().with("signature", signature));
    for unsigned in [accepted(&stranger, submission()), forked(&stranger), changed] {
        let refusal = pair.post("witness/checkpoints", &unsigned).await.refusal();
        assert_eq!(refusal, (401, "signature_invalid".into()));
    }
}

#[tokio::test]
async fn an_output_that_contradicts_itself_is_refused() {
    let pair = Pair::start();
    let right = accepted(&pair.vault, submission());
    let elsewhere = accepted(&pair.vault, Submission { witness_id: "ins_2".into(), ..submission() });
    let outputs = [right.clone().with("accepted", false), output(true), output(false), elsewhere, Object::new()];
    for output in outputs {
        let refusal = pair.post("witness/checkpoints", &output).await.refusal();
        assert_eq!(refusal, (400, "request_invalid".into()), "{output:?}");
    }
}
