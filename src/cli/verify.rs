mod attestation;
mod verifier;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::Failure;
use super::receipt::{bundle, receipted};
use super::spool::find;
use super::vault::Vault;
use crate::facts::{Digest, EventId};
use crate::protocol::PublicKey;
use crate::protocol::json::{self, MAX_BYTES};
use verifier::{Proved, Verifier};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault verify receipts.jsonl --public-key relay=HEX --public-key source=HEX --files .
  local-vault verify --all --public-key relay=HEX                 the receipts in the spool itself
  local-vault witness-checkpoint … | local-vault verify - --public-key witness=HEX
  local-vault verify forks.jsonl --public-key witness=HEX --evidence
  local-vault witness export | local-vault verify - --public-key witness=HEX
  local-vault verify --attestation attestation.json --public-key HEX --pcr 0=HEX --pcr 7=HEX

A witness's rollover makes the key that follows trusted for the lines behind it. Ends with 65 where anything does not
verify.")]
pub(super) struct VerifyArgs {
    /// JSON lines: `receipt show --json`, source attestations, witness receipts, fork evidence with what belongs to it,
    /// rollovers; - for standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["event", "all", "attestation"])]
    files: Vec<PathBuf>,
    /// One event in the spool; with its payload where the encryption key is configured
    #[arg(long, value_name = "EVENT_ID", conflicts_with = "files")]
    event: Option<EventId>,
    /// Every receipted event in the spool
    #[arg(long, conflicts_with_all = ["files", "event"])]
    all: bool,
    /// A record of custody, as `attestation register` keeps it or as it was posted; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "event", "all", "folder", "evidence"])]
    attestation: Option<PathBuf>,
    /// What a quoted PCR should have been (SHA-256 bank); all that were quoted, or none
    #[arg(long = "pcr", value_name = "NUMBER=HEX", requires = "attestation", value_parser = golden_value)]
    pcrs: Vec<(u8, Digest)>,
    /// A key to trust, by purpose: relay, source or witness; without a purpose it is a relay key
    #[arg(long = "public-key", value_name = "PURPOSE=HEX", required = true, value_parser = trusted_key)]
    keys: Vec<(String, PublicKey)>,
    /// Compare the files that source attestations name, from this folder on
    #[arg(long = "files", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Show fork evidence that verifies in the form of the platform's verifiers, beside what it shows: proof or claim
    #[arg(long)]
    evidence: bool,
    /// One JSON object each
    #[arg(long)]
    json: bool,
}

fn trusted_key(text: &str) -> Result<(String, PublicKey), String> {
    let (purpose, hex) = text.split_once('=').unwrap_or(("relay", text));
    if !["relay", "source", "witness"].contains(&purpose) {
        return Err("the purpose is relay, source or witness".into());
    }
    let key = PublicKey::from_hex(hex).map_err(|e| e.to_string())?;
    Ok((purpose.to_owned(), key))
}

fn golden_value(text: &str) -> Result<(u8, Digest), String> {
    let (number, hex) = text.split_once('=').ok_or("expected NUMBER=HEX")?;
    let number = number.parse().map_err(|_| "expected a PCR's number")?;
    Ok((number, hex.to_ascii_lowercase().parse::<Digest>().map_err(|e| e.to_string())?))
}

/// `load` is for what is in the spool alone: files verify without any configuration.
pub(super) async fn run(load: impl FnOnce() -> Result<Vault, Failure>, args: VerifyArgs) -> Result<u8, Failure> {
    if let Some(file) = &args.attestation {
        return attestation::run(file, &args);
    }
    let mut verifier = Verifier::new(args.folder.clone(), args.json, args.evidence);
    for (purpose, key) in &args.keys {
        verifier.trust(purpose, key.clone());
    }
    if args.event.is_some() || args.all {
        verify_spool(&load()?, &args, &mut verifier).await?;
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
                Ok(Some(bundle)) => verifier.bundle(&bundle).map(Proved::said),
                Ok(None) => Err("it went without an envelope, and there is no receipt for it".to_owned()),
                Err(failure) => Err(failure.message().to_owned()),
            };
            verifier.tell(&name, checked)?;
        }
        if args.event.is_some() {
            break;
        }
    }
    Ok(())
}

/// A line that is longer than any of ours may be.
const MAX_LINE: usize = 4 * MAX_BYTES;

fn verify_lines(file: &Path, verifier: &mut Verifier) -> Result<(), Failure> {
    let shown = file.display();
    let failed = |e: io::Error| Failure::io(&format!("cannot read {shown}"), &e);
    let input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file).map_err(failed)?) };
    let mut input = BufReader::new(input);
    for number in 1.. {
        let Some(line) = next_line(&mut input).map_err(failed)? else { break };
        if line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
            continue;
        }
        let object = line.and_then(|line| json::parse(&line).map_err(|e| e.to_string()));
        let checked = object.and_then(|object| verifier.object(&object));
        verifier.tell(&format!("{shown}:{number}"), checked)?;
    }
    Ok(())
}

/// The next line, or why it is not read: one that is too long is passed over. `None` at the end.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    if input.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() <= MAX_LINE || line.ends_with(b"\n") {
        return Ok(Some(Ok(line)));
    }
    input.skip_until(b'\n')?;
    Ok(Some(Err("the line is too long".into())))
}
