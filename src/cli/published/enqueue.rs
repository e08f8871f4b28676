use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::ingest::Ingest;
use crate::protocol::json::{MAX_BYTES, Object};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  local-vault enqueue-json --stream-id invoices --source-ref 2026-0001 --payload-file invoice.json")]
pub(in crate::cli) struct EnqueueJsonArgs {
    /// The stream the event belongs to
    #[arg(long, allow_negative_numbers = true)]
    stream_id: String,
    /// What the source calls the event, once and for ever
    #[arg(long, allow_negative_numbers = true)]
    source_ref: String,
    /// A file that holds one JSON object
    #[arg(long, value_name = "FILE")]
    payload_file: PathBuf,
}

pub(in crate::cli) async fn run(vault: Vault, args: EnqueueJsonArgs) -> Result<u8, Failure> {
    vault.check_stream(&args.stream_id)?;
    let payload = read(&args.payload_file)?;
    let ingest = Ingest::new(vault.spool().await?, vault.audit()?);
    // The published package takes the same source_ref in two streams, and so does its replacement.
    let enqueued = ingest.payload(&args.stream_id, &args.source_ref, &payload, true).await?;
    let status = enqueued.state.map_or("delivered", |state| state.published_name());
    let line = Object::new().with("eventId", enqueued.event_id.to_string()).with("status", status);
    Output::new().json(&line)?;
    Ok(0)
}

/// Reads no more than a payload may have, so that a file of any size costs no more memory.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let io = |e: std::io::Error| Failure::io(&format!("cannot read {}", path.display()), &e);
    let mut payload = Zeroizing::new(Vec::new());
    File::open(path).map_err(io)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut payload).map_err(io)?;
    Ok(payload)
}
