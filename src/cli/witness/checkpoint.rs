use std::path::{Path, PathBuf};

use clap::Args;

use super::read;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::published::witness::submit;
use crate::cli::vault::Vault;
use crate::config::OPERATOR;
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{Posted, Submission, SubmitterSignature};
use crate::witness::{Request, Verdict, WitnessError};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness checkpoint --tenant-id t --stream-id s --checkpoint-id c --checkpoint-seq-no 1 \\
    --checkpoint-hash HEX
  local-vault witness checkpoint submission.json --json
  producer | local-vault witness checkpoint - --known-receipt last-receipt.json

A file holds a checkpoint as it is posted to the witness: its members, or {\"checkpoint\": {…}, \"submitter_signature\":
{…}, \"known_receipts\": […]}. Ends with 65 where the checkpoint contradicts its stream, with the evidence on standard
output; with 77 where the stream is not known or somebody else's. `witness-checkpoint` is the published form.")]
pub(in crate::cli) struct CheckpointArgs {
    /// The checkpoint as JSON; - for standard input
    #[arg(value_name = "FILE", required_unless_present = "checkpoint_hash", conflicts_with_all = MEMBERS)]
    file: Option<PathBuf>,
    /// Whose stream
    #[arg(long)]
    tenant_id: Option<String>,
    /// Which stream
    #[arg(long)]
    stream_id: Option<String>,
    /// The submitter's name for the checkpoint
    #[arg(long)]
    checkpoint_id: Option<String>,
    /// The checkpoint's number, from 1
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    checkpoint_seq_no: Option<i64>,
    /// The checkpoint's hash, 64 lower-case hex digits
    #[arg(long, value_name = "HEX")]
    checkpoint_hash: Option<String>,
    /// The hash of the checkpoint before it
    #[arg(long, value_name = "HEX")]
    previous_checkpoint_hash: Option<String>,
    /// A receipt of this stream that the submitter holds: one of ours that our state does not know shows a rollback
    #[arg(long = "known-receipt", value_name = "FILE")]
    known: Vec<PathBuf>,
    /// The submitter's signature over the checkpoint
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// What the published command prints
    #[arg(long)]
    json: bool,
}

const MEMBERS: [&str; 6] =
    ["tenant_id", "stream_id", "checkpoint_id", "checkpoint_seq_no", "checkpoint_hash", "previous_checkpoint_hash"];

pub(super) async fn run(vault: &Vault, args: CheckpointArgs) -> Result<u8, Failure> {
    let request = request(vault.witness_id()?, &args)?;
    // Before anything is opened: such input changes nothing.
    request.submission.check().map_err(WitnessError::from)?;
    let submission = request.submission.clone();
    let verdict = submit(vault, request).await?;
    let output = Output::new();
    if args.json {
        output.json(&verdict.to_object())?;
    }
    let (stream, number) = (printable(&submission.stream_id), submission.checkpoint_seq_no);
    let receipt = match &verdict {
        Verdict::Accepted(receipt) | Verdict::Replayed(receipt) => receipt,
        Verdict::Forked(evidence) => {
            if !args.json {
                output.json(evidence)?;
            }
            let id = evidence.get_str("fork_evidence_id").unwrap_or_default();
            return Err(Failure::data(
                format!("number {number} of {stream} contradicts what was witnessed of it: fork evidence {id}"),
                "The evidence is signed and kept; `local-vault witness forks` shows all of it. Find out who made two \
                 histories.",
            ));
        }
    };
    if !args.json {
        let id = receipt.get_str("witness_receipt_id").unwrap_or_default();
        output.line(&format!("{}: number {number} of {stream}, receipt {id}", verdict.name()))?;
    }
    Ok(0)
}

fn request(witness_id: &str, args: &CheckpointArgs) -> Result<Request, Failure> {
    let mut request = match &args.file {
        Some(file) => {
            let posted = Posted::from_object(&object(file)?, witness_id);
            let Posted { submission, signature, known_receipts } = posted.map_err(|e| refused(file, &e.to_string()))?;
            Request { submission, caller: OPERATOR.to_owned(), signature, known: known_receipts }
        }
        None => Request::new(named(witness_id, args)?, OPERATOR),
    };
    if request.submission.witness_id != witness_id {
        let message = format!("the checkpoint names another witness, {}", request.submission.witness_id);
        return Err(Failure::data(message, format!("This one is {witness_id}. Nothing was changed.")));
    }
    if let Some(file) = &args.signature {
        let signature = SubmitterSignature::from_object(&object(file)?);
        request.signature = Some(signature.map_err(|e| refused(file, &e.to_string()))?);
    }
    for file in &args.known {
        // As a witness gave it: alone, or within its answer.
        let known = object(file)?;
        request.known.push(known.get_object("receipt").cloned().unwrap_or(known));
    }
    Ok(request)
}

fn named(witness_id: &str, args: &CheckpointArgs) -> Result<Submission, Failure> {
    let missing = |flag: &str| {
        let advice = "Name each member of the checkpoint, or a file that holds it; see --help.";
        Failure::usage(format!("{flag} is missing"), advice)
    };
    let text = |given: &Option<String>, flag: &str| given.clone().ok_or_else(|| missing(flag));
    Ok(Submission {
        witness_id: witness_id.to_owned(),
        tenant_id: text(&args.tenant_id, "--tenant-id")?,
        stream_id: text(&args.stream_id, "--stream-id")?,
        checkpoint_id: text(&args.checkpoint_id, "--checkpoint-id")?,
        checkpoint_seq_no: args.checkpoint_seq_no.ok_or_else(|| missing("--checkpoint-seq-no"))?,
        checkpoint_hash: text(&args.checkpoint_hash, "--checkpoint-hash")?,
        previous_checkpoint_hash: args.previous_checkpoint_hash.clone(),
    })
}

fn object(file: &Path) -> Result<Object, Failure> {
    json::parse(&read(file)?).map_err(|e| refused(file, &e.to_string()))
}

fn refused(file: &Path, why: &str) -> Failure {
    Failure::data(format!("{}: {why}", file.display()), "Nothing was changed, and nothing was signed.")
}
