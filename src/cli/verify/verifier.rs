use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::ingest::hash_file;
use crate::protocol::PublicKey;
use crate::protocol::bundle::{Bundle, TrustedKeys};
use crate::protocol::json::{Object, Value};
use crate::protocol::source::{PayloadHashOf, SourceAttestation};
use crate::protocol::witness::{
    Class, ForkBundle, Rollover, fork_evidence_for_verifiers, verify_fork_evidence, verify_receipt,
};

/// Verifies one thing after another, tells of each, and counts.
pub(super) struct Verifier {
    keys: TrustedKeys,
    folder: Option<PathBuf>,
    json: bool,
    shows_evidence: bool,
    good: u64,
    bad: u64,
}

/// What was proved.
pub(super) struct Proved {
    said: String,
    /// Fork evidence as the platform's verifiers show it.
    evidence: Option<Object>,
    /// What a bundle of fork evidence shows.
    class: Option<Class>,
}

impl Proved {
    pub(super) const fn said(said: String) -> Self {
        Self { said, evidence: None, class: None }
    }
}

impl Verifier {
    /// `folder`: where the files lie that source attestations name, where these are to be compared.
    pub(super) fn new(folder: Option<PathBuf>, json: bool, shows_evidence: bool) -> Self {
        Self { keys: TrustedKeys::default(), folder, json, shows_evidence, good: 0, bad: 0 }
    }

    pub(super) fn trust(&mut self, purpose: &str, key: PublicKey) {
        match purpose {
            "relay" => self.keys.relay.push(key),
            "source" => self.keys.source.push(key),
            _ => self.keys.witness.push(key),
        }
    }

    /// Whatever it is: what it says it is decides how it is verified. Behind a rollover the key that follows is trusted.
    pub(super) fn object(&mut self, object: &Object) -> Result<Proved, String> {
        if Bundle::is_one(object) {
            let bundle = Bundle::from_object(object).map_err(|e| e.to_string())?;
            return self.bundle(&bundle).map(Proved::said);
        }
        if SourceAttestation::is_one(object) {
            return self.attestation(object).map(Proved::said);
        }
        if Rollover::is_one(object) {
            return self.rollover(object).map(Proved::said);
        }
        if ForkBundle::is_one(object) {
            return self.fork_bundle(object);
        }
        // What `witness-checkpoint` prints holds one of the two.
        let inner = ["receipt", "forkEvidence"].iter().find_map(|name| object.get(name).and_then(Value::as_object));
        let object = inner.unwrap_or(object);
        if object.get("witness_receipt_id").is_some() {
            return self.with_witness_key(|key| witness_receipt(object, key));
        }
        if object.get("fork_evidence_id").is_some() {
            return self.with_witness_key(|key| fork_evidence(object, key));
        }
        Err("it is none of what can be verified".into())
    }

    pub(super) fn bundle(&self, bundle: &Bundle) -> Result<String, String> {
        let verified = bundle.verify(&self.keys).map_err(|e| e.to_string())?;
        let receipt = &verified.acknowledgement.receipt_hash;
        let payload = match (&bundle.payload, &verified.attestation) {
            (None, _) => "payload not shown".to_owned(),
            (Some(_), None) => "payload matches".to_owned(),
            (Some(_), Some(attestation)) => self.file(attestation)?,
        };
        Ok(format!("receipt {receipt}, {payload}"))
    }

    fn attestation(&self, object: &Object) -> Result<String, String> {
        let mut last = "no source key is trusted".to_owned();
        for key in &self.keys.source {
            match SourceAttestation::verify(object, key) {
                Ok(attestation) => return self.file(&attestation),
                Err(e) => last = e.to_string(),
            }
        }
        Err(last)
    }

    /// Compares the file that an attestation names, where that was asked for.
    fn file(&self, attestation: &SourceAttestation) -> Result<String, String> {
        let Some(folder) = &self.folder else { return Ok("attestation verifies".into()) };
        if attestation.payload_hash_of != PayloadHashOf::Bytes {
            return Ok("attestation verifies, and is not about a file".into());
        }
        let path = attestation.source_ref.rsplit_once('@').map_or(attestation.source_ref.as_str(), |(path, _)| path);
        let hash = hash_file(&folder.join(path)).map_err(|e| format!("the attested file {path}: {e}"))?;
        if hash == attestation.payload_hash {
            Ok("attestation and file match".into())
        } else {
            Err(format!("the file {path} is not the one that was attested"))
        }
    }

    fn rollover(&mut self, object: &Object) -> Result<String, String> {
        let mut last = "no witness key is trusted".to_owned();
        for key in &self.keys.witness {
            match Rollover::verify(object, key) {
                Ok(Rollover { witness_id, old, new, .. }) => {
                    let (kid, hex) = (new.kid, new.public_key.to_hex());
                    self.keys.witness.push(new.public_key);
                    return Ok(format!("{witness_id} went from {} to {kid}: {hex} is trusted from here on", old.kid));
                }
                Err(e) => last = e.to_string(),
            }
        }
        Err(last)
    }

    fn fork_bundle(&self, object: &Object) -> Result<Proved, String> {
        if self.keys.witness.is_empty() {
            return Err("no witness key is trusted".into());
        }
        let (class, evidence) = ForkBundle::verify(object, &self.keys.witness).map_err(|e| e.to_string())?;
        let (stream, number) = (&evidence.submission.stream_id, evidence.submission.checkpoint_seq_no);
        let said = format!("fork evidence, a {}, for {stream} number {number}", class.name());
        Ok(Proved { said, evidence: Some(fork_evidence_for_verifiers(&evidence)), class: Some(class) })
    }

    fn with_witness_key(&self, verify: impl Fn(&PublicKey) -> Result<Proved, String>) -> Result<Proved, String> {
        let mut last = "no witness key is trusted".to_owned();
        for key in &self.keys.witness {
            match verify(key) {
                Ok(proved) => return Ok(proved),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Counts and tells what came of the thing that is called `name`.
    pub(super) fn tell(&mut self, name: &str, checked: Result<Proved, String>) -> Result<(), Failure> {
        let verifies = checked.is_ok();
        *(if verifies { &mut self.good } else { &mut self.bad }) += 1;
        let Proved { said, evidence, class } = checked.unwrap_or_else(Proved::said);
        let evidence = evidence.filter(|_| self.shows_evidence);
        let output = Output::new();
        if self.json {
            let object = Object::new().with("name", name).with("verifies", verifies).with("detail", said);
            let object = class.into_iter().fold(object, |object, class| object.with("class", class.name()));
            return output.json(&evidence.into_iter().fold(object, |object, shown| object.with("evidence", shown)));
        }
        let word = if verifies { "OK    " } else { "FAILED" };
        output.line(&format!("{word}  {}  {}", printable(name), printable(&said)))?;
        evidence.map_or(Ok(()), |shown| output.json(&shown))
    }

    /// The end: a failure where anything did not verify, or there was nothing.
    pub(super) fn end(self) -> Result<u8, Failure> {
        if self.bad > 0 {
            let message = format!("{} of {} do not verify", self.bad, self.bad + self.good);
            return Err(Failure::data(message, "Each is named above with what does not hold."));
        }
        if self.good == 0 {
            return Err(Failure::data("there was nothing to verify", "Name a file of JSON lines, or use --all."));
        }
        if !self.json {
            Output::new().line(&format!("{} verified", self.good))?;
        }
        Ok(0)
    }
}

fn witness_receipt(object: &Object, key: &PublicKey) -> Result<Proved, String> {
    let submission = verify_receipt(object, key).map_err(|e| e.to_string())?.submission;
    let (stream, number) = (submission.stream_id, submission.checkpoint_seq_no);
    Ok(Proved::said(format!("witness receipt for {stream} number {number}")))
}

fn fork_evidence(object: &Object, key: &PublicKey) -> Result<Proved, String> {
    let evidence = verify_fork_evidence(object, key).map_err(|e| e.to_string())?;
    let (stream, number) = (&evidence.submission.stream_id, evidence.submission.checkpoint_seq_no);
    let said = format!("fork evidence for {stream} number {number}");
    Ok(Proved { said, evidence: Some(fork_evidence_for_verifiers(&evidence)), class: None })
}
