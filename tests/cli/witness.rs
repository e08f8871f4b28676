//! `local-vault witness …`.

mod bundle;
mod checkpoints;
mod rotation;
mod standing;
mod streams;

use ed25519_dalek::{Signer as _, SigningKey};
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::{Submission, SubmitterSignature};
use local_vault::protocol::{PublicKey, Signature};
use rusqlite::Connection;

use super::vault::{Done, INSTALLATION, Vault, public_key, seed};

/// A vault whose witness takes what was added alone, with the stream `s` of tenant `t`.
fn strict() -> Vault {
    let vault = Vault::new();
    vault.reconfigure("witness.first_use = \"accept\"\n", "");
    add(&vault, &[]);
    vault
}

fn add(vault: &Vault, more: &[&str]) {
    let words = ["witness", "stream", "add", "--tenant-id", "t", "--stream-id", "s", "--consent", "ticket 17"];
    vault.ok(&[words.as_slice(), more].concat());
}

/// A checkpoint of the stream `s`: its number, and digits that stand for its hash and that of the one before.
fn checkpoint(number: i64, digit: char, previous: Option<char>) -> Submission {
    let hash = |digit: char| digit.to_string().repeat(64);
    Submission {
        witness_id: INSTALLATION.into(),
        tenant_id: "t".into(),
        stream_id: "s".into(),
        checkpoint_id: format!("chk_{number}"),
        checkpoint_seq_no: number,
        checkpoint_hash: hash(digit),
        previous_checkpoint_hash: previous.map(hash),
    }
}

/// Submits a checkpoint as JSON on standard input.
fn submit(vault: &Vault, object: &Object, more: &[&str]) -> Done {
    let words = [["witness", "checkpoint", "-", "--json"].as_slice(), more].concat();
    Done::of_reading(&mut vault.command(&words), &object.to_canonical())
}

/// Submits one that is accepted, and gives its receipt.
#[track_caller]
fn accepted(vault: &Vault, submission: &Submission) -> Object {
    let line = submit(vault, &submission.to_object(), &[]).ok();
    super::vault::objects(&line)[0].get_object("receipt").unwrap().clone()
}

/// The signature of a submitter whose key is made of a name.
fn signature(name: &str, submission: &Submission) -> SubmitterSignature {
    let key = SigningKey::from_bytes(seed(name).as_bytes());
    SubmitterSignature {
        public_key: PublicKey::from_hex(&public_key(name)).unwrap(),
        signature: Signature::from_bytes(key.sign(SubmitterSignature::preimage(submission).as_bytes()).to_bytes()),
    }
}

/// With the submitter's signature, as it is posted.
fn signed(name: &str, submission: &Submission) -> Object {
    Object::new()
        .with("checkpoint", submission.to_object())
        .with("submitter_signature", signature(name, submission).to_object())
}

/// The witness's file, to be edited behind its back.
fn database(vault: &Vault) -> Connection {
    Connection::open(vault.path("witness.sqlite3")).unwrap()
}

/// Verifies lines without any configuration.
fn verify(vault: &Vault, lines: &str, more: &[&str]) -> Done {
    let words = [["verify", "-"].as_slice(), more].concat();
    Done::of_reading(&mut vault.without_config(&words), lines.as_bytes())
}
