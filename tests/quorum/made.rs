use ed25519_dalek::{Signer as _, SigningKey};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::quorum::{Policy, Report, verify};
use local_vault::protocol::witness::{ForkEvidence, Head, Statement, Submission, receipt, sealed_fork_evidence};
use local_vault::protocol::{Preimage, PublicKey, Signature};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Three witnesses with a key each and a role each; `a` has a second key, which is the next one.
pub(crate) const POLICY: &str = r#"{"policy_id": "p", "required": 2, "witnesses": [
    {"name": "a", "role": "attesto-operated", "public_keys": ["<a>", "<a2>"]},
    {"name": "b", "role": "customer-operated", "public_keys": ["<b>"]},
    {"name": "c", "role": "assurance", "public_keys": ["<c>"]}]}"#;

/// The policy with members added to it.
pub(crate) fn policy(more: &str) -> Policy {
    let text = POLICY.replacen('{', &format!("{{{more}"), 1);
    Policy::from_object(&object(&text), &[]).unwrap()
}

/// Reads an object, in which `<name>` stands for the public key of that name.
pub(crate) fn object(text: &str) -> Object {
    let names = ["a", "a2", "b", "c"];
    let text =
        names.iter().fold(text.to_owned(), |text, name| text.replace(&format!("<{name}>"), &public(name).to_hex()));
    json::parse(text.as_bytes()).unwrap()
}

pub(crate) fn public(name: &str) -> PublicKey {
    PublicKey::ed25519(key(name).verifying_key().as_bytes()).unwrap()
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(Digest::of(name.as_bytes()).as_bytes())
}

fn sign(name: &str, preimage: &Preimage) -> Signature {
    Signature::from_bytes(key(name).sign(preimage.as_bytes()).to_bytes())
}

/// The hash that is all of one hex digit.
pub(crate) fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

/// Checkpoint 5 of the stream, with this hash.
pub(crate) fn statement(letter: char) -> Statement {
    let submission = Submission {
        witness_id: "ins_1".into(),
        tenant_id: "ten_1".into(),
        stream_id: "str_1".into(),
        checkpoint_id: format!("chk_{letter}"),
        checkpoint_seq_no: 5,
        checkpoint_hash: hash(letter),
        previous_checkpoint_hash: None,
    };
    Statement { submission, key_epoch: "k".into(), accepted_at: NOW }
}

/// The receipt for a statement, signed with the key of this name.
pub(crate) fn signed(name: &str, statement: &Statement) -> Object {
    receipt("lwr_1", statement, &public(name), &sign(name, &statement.preimage()))
}

/// The receipt for checkpoint 5 with this hash.
pub(crate) fn stated(name: &str, letter: char) -> Object {
    signed(name, &statement(letter))
}

/// Sealed evidence that checkpoint 5 of a stream was shown with another hash.
pub(crate) fn evidence(name: &str, stream_id: &str) -> Object {
    let submission = Submission { stream_id: stream_id.into(), ..statement('f').submission };
    let head = Head { checkpoint_id: "chk_d".into(), checkpoint_seq_no: 5, checkpoint_hash: hash('d') };
    let evidence = ForkEvidence { head: Some(head), submission, created_at: NOW };
    sealed_fork_evidence("lwf_1", &evidence, "k", &public(name), &sign(name, &evidence.preimage()))
}

/// The verdict on statements alone, whichever checkpoint they are about.
pub(crate) fn judge(policy: &Policy, statements: &[Object]) -> Report {
    verify(policy, None, statements, &[], NOW)
}

/// What is said of each statement, and at the end of all.
pub(crate) fn said(report: &Report) -> Vec<String> {
    report.statements.iter().map(ToString::to_string).chain([report.to_string()]).collect()
}
