use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::output::{Output, printable};
use super::receipt::{bundle, receipted};
use super::spool::find;
use super::vault::Vault;
use crate::facts::EventId;
use crate::ingest::hash_file;
use crate::protocol::PublicKey;
use crate::protocol::bundle::{Bundle, TrustedKeys};
use crate::protocol::json::{self, MAX_BYTES, Object, Value};
use crate::protocol::source::{PayloadHashOf, SourceAttestation};
use crate::protocol::witness::{verify_fork_evidence, verify_receipt};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault verify receipts.jsonl --public-key relay=HEX --public-key source=HEX --files .
  local-vault verify --all --public-key relay=HEX                 the receipts in the spool itself
  local-vault witness-checkpoint … | local-vault verify - --public-key witness=HEX

Ends with 65 where anything does not verify.")]
pub(super) struct VerifyArgs {
    /// JSON lines: `receipt show --json`, source attestations, witness receipts, fork evidence; - for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["event", "all"])]
    files: Vec<PathBuf>,
    /// One event in the spool; with its payload where the encryption key is configured
    #[arg(long, value_name = "EVENT_ID", conflicts_with = "files")]
    event: Option<EventId>,
    /// Every receipted event in the spool
    #[arg(long, conflicts_with_all = ["files", "event"])]
    all: bool,
    /// A key to trust, by purpose: relay, source or witness
    #[arg(long = "public-key", value_name = "PURPOSE=HEX", required = true, value_parser = trusted_key)]
    keys: Vec<(String, PublicKey)>,
    /// Compare the files that source attestations name, from this folder on
    #[arg(long = "files", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// One JSON object each
    #[arg(long)]
    json: bool,
}

fn trusted_key(text: &str) -> Result<(String, PublicKey), String> {
    let (purpose, hex) = text.split_once('=').ok_or("expected PURPOSE=HEX")?;
    if !["relay", "source", "witness"].contains(&purpose) {
        return Err("the purpose is relay, source or witness".into());
    }
    let key = PublicKey::from_hex(hex).map_err(|e| e.to_string())?;
    Ok((purpose.to_owned(), key))
}

pub(super) async fn run(vault: &Vault, args: VerifyArgs) -> Result<u8, Failure> {
    let mut keys = TrustedKeys::default();
    for (purpose, key) in &args.keys {
        match purpose.as_str() {
            "relay" => keys.relay.push(key.clone()),
            "source" => keys.source.push(key.clone()),
            _ => keys.witness.push(key.clone()),
        }
    }
    let mut verifier = Verifier { keys, folder: args.folder.clone(), json: args.json, good: 0, bad: 0 };
    if args.event.is_some() || args.all {
        verify_spool(vault, &args, &mut verifier).await?;
    }
    for file in &args.files {
        verify_lines(file, &mut verifier)?;
    }
    verifier.end()
}

async fn verify_spool(vault: &Vault, args: &VerifyArgs, verifier: &mut Verifier) -> Result<(), Failure> {
    let reader = vault.reader()?;
    let opens = vault.settings.custody.encryption_key.is_some();
    let spool = if opens { Some(vault.spool().await?) } else { None };
    let mut after = 0;
    loop {
        let page = match args.event {
            Some(id) => vec![find(&reader, id)?],
            None => receipted(&reader, after)?,
        };
        let Some(last) = page.last() else { break };
        after = last.seq;
        for event in &page {
            let name = event.event_id.to_string();
            let Some(answer) = reader.answer(event)? else {
                verifier.tell(&name, Err(format!("there is no receipt for it ({})", event.state.name())))?;
                continue;
            };
            let checked = match bundle(event, answer, spool.as_deref()).await {
                Ok(bundle) => verifier.bundle(&bundle),
                Err(failure) => Err(failure.lines().0.to_owned()),
            };
            verifier.tell(&name, checked)?;
        }
        if args.event.is_some() {
            break;
        }
    }
    Ok(())
}

fn verify_lines(file: &Path, verifier: &mut Verifier) -> Result<(), Failure> {
    let shown = printable(&file.to_string_lossy());
    let failed = |e: io::Error| Failure::io(&format!("cannot read {shown}"), &e);
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file).map_err(failed)?) };
    let mut input = BufReader::new(input);
    for number in 1.. {
        let mut line = Vec::new();
        // A line that is longer than any of ours may be is cut, and then does not read.
        let read = (&mut input).take(4 * MAX_BYTES as u64).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let checked = json::parse(&line).map_err(|e| e.to_string()).and_then(|object| verifier.object(&object));
            verifier.tell(&format!("{shown}:{number}"), checked)?;
        }
    }
    Ok(())
}

/// Verifies one thing after another, and counts.
struct Verifier {
    keys: TrustedKeys,
    folder: Option<PathBuf>,
    json: bool,
    good: u64,
    bad: u64,
}

impl Verifier {
    /// Whatever it is: what it says it is decides how it is verified. Says what was proved.
    fn object(&self, object: &Object) -> Result<String, String> {
        if Bundle::is_one(object) {
            return self.bundle(&Bundle::from_object(object).map_err(|e| e.to_string())?);
        }
        if SourceAttestation::is_one(object) {
            return self.attestation(object);
        }
        // What `witness-checkpoint` prints holds one of the two.
        let inner = ["receipt", "forkEvidence"].iter().find_map(|name| object.get(name).and_then(Value::as_object));
        let object = inner.unwrap_or(object);
        if object.get("witness_receipt_id").is_some() {
            return self.with_witness_key(|key| {
                let statement = verify_receipt(object, key).map_err(|e| e.to_string())?;
                let s = &statement.submission;
                Ok(format!("witness receipt for {} number {}", s.stream_id, s.checkpoint_seq_no))
            });
        }
        if object.get("fork_evidence_id").is_some() {
            return self.with_witness_key(|key| {
                let evidence = verify_fork_evidence(object, key).map_err(|e| e.to_string())?;
                let s = &evidence.submission;
                Ok(format!("fork evidence for {} number {}", s.stream_id, s.checkpoint_seq_no))
            });
        }
        Err("it is none of what can be verified".into())
    }

    fn bundle(&self, bundle: &Bundle) -> Result<String, String> {
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

    fn with_witness_key(&self, verify: impl Fn(&PublicKey) -> Result<String, String>) -> Result<String, String> {
        let mut last = "no witness key is trusted".to_owned();
        for key in &self.keys.witness {
            match verify(key) {
                Ok(proved) => return Ok(proved),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn tell(&mut self, name: &str, checked: Result<String, String>) -> Result<(), Failure> {
        let verifies = checked.is_ok();
        *(if verifies { &mut self.good } else { &mut self.bad }) += 1;
        let (Ok(text) | Err(text)) = checked;
        let text = printable(&text);
        if self.json {
            let object = Object::new().with("name", name).with("verifies", verifies).with("detail", text);
            return Output::new().json(&object);
        }
        Output::new().line(&format!("{}  {name}  {text}", if verifies { "OK    " } else { "FAILED" }))
    }

    fn end(self) -> Result<u8, Failure> {
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
