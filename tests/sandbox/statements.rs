use super::vault::{INSTALLATION, Pair, Vault};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::attestation::{Holder, Measurement, Record, SealedIdentity, SignedRecord, TokenIdentity};
use local_vault::protocol::json::{self, Object, Value};
use local_vault::protocol::tpm::TpmKind;
use local_vault::protocol::witness::{ForkEvidence, Statement, Submission, receipt, sealed_fork_evidence};

const KID: &str = "local-vault-1";

fn attestation(vault: &Vault) -> Object {
    let measurement = Measurement {
        local_vault_version: "0.1.0".into(),
        edge_core_sha256: Digest::of(b"executable"),
        provider_manifest_digest: Digest::of(b"config"),
        signing_key_id: KID.into(),
        signing_public_key: vault.public_key(),
        issued_at: Timestamp::from_millis(1_800_000_000_000),
        nonce: [1; 16],
    };
    let token = TokenIdentity { manufacturer: "SoftHSM project".into(), model: "SoftHSM v2".into() };
    signed(vault, Record { measurement, holder: Holder::Token(token) })
}

fn signed(vault: &Vault, record: Record) -> Object {
    let signature = vault.sign(&record.preimage());
    SignedRecord { record, signature, evidence: Default::default() }.to_posted()
}

/// A record with a quote, as the published package made it.
fn quoted(file: &[u8]) -> SignedRecord {
    SignedRecord::from_object(&json::parse(file).unwrap()).unwrap()
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
    let record = attestation(&pair.vault).get_object("record").unwrap().clone();
    let token = record.get_object("token").unwrap().clone().with("model", "Luna G7");
    let changed = attestation(&pair.vault).with("record", record.with("token", token));
    for unsigned in [attestation(&Vault::new(8)), changed] {
        let refusal = pair.post("attestations", &unsigned).await.refusal();
        assert_eq!(refusal, (401, "signature_invalid".into()));
    }
    let right = attestation(&pair.vault);
    let stranger = right.get_object("record").unwrap().clone().with("surprise", true);
    let malformed = [
        Object::new(),
        right.clone().with("signature", "zz"),
        right.clone().with("record", stranger),
        right.clone().with("evidence", Object::new()),
        quoted(include_bytes!("../data/attestation/l1.json")).to_file(),
    ];
    for malformed in malformed {
        let refusal = pair.post("attestations", &malformed).await.refusal();
        assert_eq!(refusal, (400, "request_invalid".into()));
    }
    assert_eq!(pair.sandbox.count("rejected").await, 7);
    assert_eq!(pair.sandbox.count("attestations").await, 0);
}

#[tokio::test]
async fn a_quote_is_verified_and_one_over_something_else_refused_though_the_key_signed_it() {
    let [rsa, ecc] = [
        quoted(include_bytes!("../data/attestation/l2-rsa.json")),
        quoted(include_bytes!("../data/attestation/l2-ecc.json")),
    ];
    // The key that the published package signed them with.
    let vault = Vault::new(0x11);
    let pair = Pair::of(vault, &[]);
    let answer = pair.post("attestations", &rsa.to_posted()).await;
    assert_eq!((answer.status, answer.object().get_str("assurance")), (201, Some("L2")));
    let exchanged = Record { holder: ecc.record.holder, ..rsa.record };
    let refusal = pair.post("attestations", &signed(&pair.vault, exchanged)).await.refusal();
    assert_eq!(refusal, (422, "quote_invalid".into()));
}

#[tokio::test]
async fn a_record_of_our_own_kind_is_unknown_there() {
    let rsa = quoted(include_bytes!("../data/attestation/l2-rsa.json")).record;
    let pair = Pair::of(Vault::new(0x11), &[]);
    let sealed = SealedIdentity {
        manufacturer: "IFX".into(),
        model: "SLB9672".into(),
        kind: TpmKind::Discrete,
        policy_key: pair.vault.public_key(),
        pcr_selection: "sha256:7,11,14".parse().unwrap(),
    };
    let holder = Holder::SealingTpm(sealed, Box::new(rsa.holder.quote().unwrap().clone()));
    let refusal = pair.post("attestations", &signed(&pair.vault, Record { holder, ..rsa })).await.refusal();
    assert_eq!(refusal, (400, "request_invalid".into()));
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
