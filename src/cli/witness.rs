//! The witness as an operator meets it: checkpoints, what was signed, streams, keys, and how it all stands.

mod checkpoint;
mod export;
mod follow;
mod forks;
mod reconcile;
mod rotate;
mod show;
mod status;
mod stream;
mod verify;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::published;
use super::vault::Vault;
use super::witness_socket;
use crate::protocol::json::MAX_BYTES;
use crate::witness::{Change, Desk};
use checkpoint::CheckpointArgs;
use export::ExportArgs;
use forks::ForksArgs;
use reconcile::ReconcileArgs;
use show::ShowArgs;
pub(super) use stream::StreamCommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault witness status
  local-vault witness stream add --tenant-id t --stream-id s --consent 'contract 17, annex B'
  local-vault witness checkpoint submission.json
  local-vault witness forks
  local-vault witness export -o witnessed.jsonl

docs/witness.md says what is signed when, what each anchor is worth, and what to do after each incident.")]
pub(super) enum WitnessCommand {
    /// Witness a checkpoint: a receipt where it extends its stream, and fork evidence where it contradicts it
    Checkpoint(CheckpointArgs),
    /// Count what was signed
    #[command(after_help = "\
Examples:
  local-vault witness counts
  local-vault witness counts --json | jq .forks

Needs no key.")]
    Counts {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch submissions from a feed, sign them, and post what was signed: for a host that only goes out
    #[command(after_help = "\
Examples:
  local-vault witness follow              for as long as it runs
  local-vault witness follow --once       what there is now

The feed is witness.follow.feed of the config file. What was signed goes to the platform beside relay.endpoint, out of a
spool of its own beside the witness's database, again until it is taken. Streams of the feed are pinned to the submitter
`feed`. A running service follows by itself where a feed is configured.")]
    Follow {
        /// End once everything that the feed has now is signed, and posted where the platform takes it
        #[arg(long)]
        once: bool,
    },
    /// List fork evidence, and what each piece of it shows
    Forks(ForksArgs),
    /// Show the receipts of a checkpoint
    Show(ShowArgs),
    /// Write out everything that was signed, for `verify` and `quorum verify`
    Export(ExportArgs),
    /// Add a stream, list the streams, begin one anew
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Show how the witness stands to its anchor and its peers, and let it go on after an incident
    Reconcile(ReconcileArgs),
    /// Let the next key sign from now on
    #[command(after_help = "\
Examples:
  local-vault witness rotate
  local-vault witness rotate --json > rollover.json

The next key is the one under [custody.keys.witness_next] of the config file. The rollover that is printed is signed by
both keys: whoever trusts the old one learns from it to trust the new one (`local-vault verify`). `witness export` holds
it too.")]
    Rotate {
        /// The rollover alone, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify every record: its MAC and its place, its receipt or evidence, and every signature
    #[command(after_help = "\
Examples:
  local-vault witness verify
  local-vault witness verify --json | jq .unsigned

Ends with 65 where anything is not as it was written, and with 77 where the state is such that it is not even opened.")]
    Verify {
        /// One JSON object for each record that is wrong, and one for the whole
        #[arg(long)]
        json: bool,
    },
    /// Show how state and anchor stand, which keys sign, and what stopped it
    #[command(after_help = "\
Examples:
  local-vault witness status
  local-vault witness status --json | jq -r .anchor.kind

Opens nothing for writing, so that it works beside a service and after an incident. What it tells of the state is what
the file says: `witness verify` proves it. Ends with 77 where an incident stopped the witness, or its anchor shows one,
and with 69 where the anchor is away.")]
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(vault: &Vault, command: WitnessCommand) -> Result<u8, Failure> {
    match command {
        WitnessCommand::Checkpoint(args) => checkpoint::run(vault, args).await,
        WitnessCommand::Counts { json: true } => published::witness::counts(vault),
        WitnessCommand::Counts { json: false } => {
            let counts = vault.witness_counts()?;
            let output = Output::new();
            output.line(&format!("receipts       {}", counts.receipts))?;
            output.line(&format!("fork evidence  {}", counts.forks))?;
            Ok(0)
        }
        WitnessCommand::Export(args) => export::run(vault, &args),
        WitnessCommand::Follow { once } => follow::run(vault, once).await,
        WitnessCommand::Forks(args) => forks::run(vault, &args),
        WitnessCommand::Reconcile(args) => reconcile::run(vault, args).await,
        WitnessCommand::Rotate { json } => rotate::run(vault, json).await,
        WitnessCommand::Show(args) => show::run(vault, &args),
        WitnessCommand::Status { json } => status::run(vault, json),
        WitnessCommand::Stream(command) => stream::run(vault, command).await,
        WitnessCommand::Verify { json } => verify::run(vault, json).await,
    }
}

/// Makes a change: through the service that has the state open, or to the state at hand.
async fn change(vault: &Vault, change: Change) -> Result<(), Failure> {
    if witness_socket::change(vault, &change).await? {
        return Ok(());
    }
    let (desk, closing) = Desk::start(vault.witness().await?)?;
    let changed = desk.change(change).await;
    closing.close(desk).await;
    Ok(changed?)
}

/// What a file or standard input (`-`) holds, up to the most that JSON of ours may have.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| Failure::io(&format!("cannot read {}", file.display()), &e))?;
    Ok(bytes)
}
