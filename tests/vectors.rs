//! What the published package answers, row by row, and what we must answer (`tests/vectors/README.md`).
//! `LOCAL_VAULT_VECTORS` names another folder of files in the same form.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

#[path = "support/witness.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use local_vault::custody::file::FileKey;
use local_vault::custody::{Purpose, PurposeKey, Signer, SignerConfig};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::ack;
use local_vault::protocol::envelope::{Envelope, upstream_event_id};
use local_vault::protocol::json::{self, JsonError, Object, Value};
use local_vault::protocol::witness::{self, Submission};
use local_vault::protocol::{Preimage, PublicKey, Signature};
use local_vault::witness::{Counts, Desk, Request, Setup, Witness, WitnessError, WitnessReader};
use support::{Told, setup};

#[test]
fn canonical_json_is_what_the_package_writes() {
    let rows = rows("canonical", 1028);
    for (at, row) in &rows {
        let input = text(row, "input");
        let ours = json::parse(input.as_bytes());
        if row.get("rejected").is_some() {
            assert!(ours.is_err(), "row {at} is accepted");
            continue;
        }
        // Where the package is laxer by contract, ours refuses.
        if let Err(JsonError::DuplicateKey { .. } | JsonError::TooDeep) = ours {
            continue;
        }
        let canonical = ours.unwrap_or_else(|error| panic!("row {at}: {error}")).to_canonical();
        assert_eq!(hex::encode(&canonical), text(row, "canonical_hex"), "row {at}");
        assert_eq!(Digest::of(&canonical).to_string(), text(row, "sha256"), "row {at}");
    }
    println!("canonical: {} rows", rows.len());
}

#[test]
fn envelopes_are_hashed_and_signed_as_the_package_does() {
    let rows = rows("envelope", 250);
    for (at, row) in &rows {
        let inputs = object(row, "inputs");
        let payload = match json::parse(text(inputs, "payload").as_bytes()) {
            Ok(payload) => payload.to_canonical(),
            // Ours by contract: see above.
            Err(JsonError::DuplicateKey { .. } | JsonError::TooDeep) => continue,
            Err(error) => panic!("row {at}: {error}"),
        };
        let envelope = Envelope {
            installation_id: text(inputs, "installation_id").into(),
            event_id: text(inputs, "event_id").into(),
            stream_id: text(inputs, "stream_id").into(),
            source_ref: text(inputs, "source_ref").into(),
            payload_sha256: Digest::of(&payload),
            payload_size: payload.len() as u64,
            attempt: u32::try_from(integer(inputs, "attempt")).unwrap(),
            created_at: time(inputs, "created_at"),
            signed_at: time(inputs, "signed_at"),
        };
        let preimage = envelope.preimage();
        let (key, public) = key_pair(inputs);
        assert_eq!(&envelope.to_object(), object(row, "envelope"), "row {at}");
        assert_eq!(Envelope::from_object(object(row, "envelope")), Ok(envelope.clone()), "row {at}");
        assert_eq!(hex::encode(preimage.canonical()), text(row, "envelope_canonical_hex"), "row {at}");
        assert_eq!(preimage.hash().to_string(), text(row, "envelope_hash"), "row {at}");
        assert_eq!(public.to_hex(), text(row, "public_key_hex"), "row {at}");
        let signature = sign(&key, &preimage);
        assert_eq!(signature.to_hex(), text(row, "signature_hex"), "row {at}");
        assert_eq!(public.verify(&preimage, &signature), Ok(()), "row {at}");
        let upstream = upstream_event_id(&envelope.installation_id, &envelope.source_ref);
        assert_eq!(upstream, text(row, "upstream_event_id"), "row {at}");
    }
    println!("envelope: {} rows", rows.len());
}

#[test]
fn answers_are_judged_as_the_contract_says() {
    let rows = rows("ack", 1240);
    for (at, row) in &rows {
        let envelope = Envelope::from_object(object(row, "envelope")).unwrap();
        let envelope_hash = text(row, "envelope_hash").parse().unwrap();
        let body = row.get("body").and_then(Value::as_object);
        let ours = ack::check(&envelope, &envelope_hash, body).err().map(|error| error.code());
        assert_eq!(ours, row.get_str("expect"), "row {at}");
    }
    println!("ack: {} rows", rows.len());
}

#[test]
fn checkpoints_are_witnessed_as_the_package_does() {
    let rows = rows("witness", 20);
    for (at, row) in &rows {
        let mut witness = OnDisk::new(row);
        for (step_at, step) in row.get("steps").and_then(Value::as_array).unwrap().iter().enumerate() {
            let step = step.as_object().unwrap();
            let ours = witness.witness(object(step, "submit"), time(step, "accepted_at"));
            let Some(mut ours) = ours else {
                assert!(step.get("rejected").is_some(), "row {at} step {step_at} is rejected");
                continue;
            };
            let expected = without_random_ids(object(step, "result"));
            verify_published(object(step, "result"), witness.signer.public_key());
            ours = without_random_ids(&ours);
            assert_eq!(ours, expected, "row {at} step {step_at}");
        }
        let (ours, counts) = (witness.counts(), object(row, "counts"));
        assert_eq!(ours.receipts.cast_signed(), integer(counts, "receipts"), "row {at}");
        assert_eq!(ours.forks.cast_signed(), integer(counts, "forks"), "row {at}");
    }
    println!("witness: {} sequences", rows.len());
}

/// The witness as it ships: its own store on the disk, and a signer of its own.
struct OnDisk {
    runtime: tokio::runtime::Runtime,
    desk: Desk,
    /// Beneath the guard on time stamps: those of the vectors go back.
    times: Arc<Told>,
    signer: Signer,
    folder: tempfile::TempDir,
}

impl OnDisk {
    fn new(row: &Object) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (key, _) = key_pair(row);
        let key = PurposeKey::bind(Purpose::Witness, text(row, "key_id"), Arc::new(FileKey::from_seed(key.to_bytes())));
        let signer = Signer::spawn(key.unwrap(), SignerConfig::default());
        let times = Told::at(Timestamp::from_millis(0));
        let setup = Setup { times: times.clone(), ..setup(signer.clone()) };
        let witness = Witness::open(&folder.path().join("witness.sqlite3"), setup).unwrap();
        let desk = runtime.block_on(async { Desk::start(witness).unwrap().0 });
        Self { runtime, desk, times, signer, folder }
    }

    /// The answer as the published command prints it; `None` where the input is refused.
    fn witness(&mut self, submit: &Object, now: Timestamp) -> Option<Object> {
        self.times.set(now);
        let submitted = self.desk.submit(Request::new(submission(submit)?, "operator"));
        match self.runtime.block_on(submitted) {
            Ok(verdict) => Some(verdict.to_object()),
            Err(WitnessError::Submission(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn counts(&self) -> Counts {
        WitnessReader::open(&self.folder.path().join("witness.sqlite3")).unwrap().counts().unwrap()
    }
}

/// `None` where a number does not fit 63 bits, or a member has another type.
fn submission(submit: &Object) -> Option<Submission> {
    let text = |member| submit.get_str(member).map(str::to_owned);
    Some(Submission {
        witness_id: text("witness_id")?,
        tenant_id: text("tenant_id")?,
        stream_id: text("stream_id")?,
        checkpoint_id: text("checkpoint_id")?,
        checkpoint_seq_no: submit.get("checkpoint_seq_no")?.as_i64()?,
        checkpoint_hash: text("checkpoint_hash")?,
        previous_checkpoint_hash: text("previous_checkpoint_hash"),
    })
}

/// What the package signed must verify with ours.
fn verify_published(result: &Object, key: &PublicKey) {
    if let Some(receipt) = result.get_object("receipt") {
        witness::verify_receipt(receipt, key).unwrap();
    }
    if let Some(evidence) = result.get_object("forkEvidence") {
        witness::verify_fork_evidence(evidence, key).unwrap();
    }
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

/// The rows of a file, each with its line number. Our own files have exactly `count`, others must have one at least.
fn rows(name: &str, count: usize) -> Vec<(usize, Object)> {
    let named = std::env::var_os("LOCAL_VAULT_VECTORS").map(PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| [env!("CARGO_MANIFEST_DIR"), "tests", "vectors"].iter().collect());
    let path = folder.join(name).with_extension("jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows: Vec<_> = lines.filter_map(|(at, line)| Some((at + 1, row(at + 1, line)?))).collect();
    assert!(!rows.is_empty(), "{} has no rows", path.display());
    assert!(named.is_some() || rows.len() == count, "{} has {} rows", path.display(), rows.len());
    rows
}

/// `None` for a row that holds half a surrogate pair. Such text has no UTF-8 in which it could reach us, so the row
/// must be one that is refused.
fn row(at: usize, line: &str) -> Option<Object> {
    match json::parse(line.as_bytes()) {
        Ok(row) => Some(row),
        Err(JsonError::LoneSurrogate { .. }) => {
            assert!(line.contains(r#""rejected""#) || line.contains(r#""expect": "missing-body""#), "line {at}");
            None
        }
        Err(error) => panic!("line {at}: {error}"),
    }
}

fn key_pair(object: &Object) -> (SigningKey, PublicKey) {
    let mut seed = [0; 32];
    hex::decode_to_slice(text(object, "private_key_hex"), &mut seed).unwrap();
    let key = SigningKey::from_bytes(&seed);
    let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
    (key, public)
}

fn sign(key: &SigningKey, preimage: &Preimage) -> Signature {
    Signature::from_bytes(key.sign(preimage.as_bytes()).to_bytes())
}

fn text<'a>(object: &'a Object, member: &str) -> &'a str {
    object.get_str(member).unwrap_or_else(|| panic!("no text `{member}`"))
}

fn integer(object: &Object, member: &str) -> i64 {
    object.get(member).and_then(Value::as_i64).unwrap_or_else(|| panic!("no integer `{member}`"))
}

fn object<'a>(object: &'a Object, member: &str) -> &'a Object {
    object.get_object(member).unwrap_or_else(|| panic!("no object `{member}`"))
}

fn time(object: &Object, member: &str) -> Timestamp {
    Timestamp::parse(text(object, member)).unwrap()
}
