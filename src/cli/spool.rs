mod dead_letters;
mod export;
mod import;
mod list;
mod purge;
mod record;
mod release;
mod retry;
mod show;
mod stats;
mod stopped;
mod verify;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::failure::Failure;
use super::output::Output;
use super::reason;
use super::vault::Vault;
use crate::audit;
use crate::facts::EventId;
use crate::protocol::json::Object;
use crate::spool::{Event, Filter, SpoolReader, State};
use dead_letters::DeadLettersArgs;
use export::ExportArgs;
use list::ListArgs;
use purge::PurgeArgs;
use retry::RetryArgs;
pub(super) use stats::object_of as stats;
pub(super) use stopped::{lines as stopped_lines, objects as stopped_objects};
use verify::VerifyArgs;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault spool stats
  local-vault spool dead-letters
  local-vault spool show lv_0123456789abcdef0123456789abcdef --payload
  local-vault spool verify
  local-vault spool purge --older-than 30d
  local-vault spool import old-spool.sqlite3")]
pub(super) enum SpoolCommand {
    /// List events in the order they were spooled
    List(ListArgs),
    /// Show one event, with what contradicts its receipt and what stands in its place; with its payload where the
    /// encryption key is configured
    #[command(after_help = "\
Examples:
  local-vault spool show lv_0123456789abcdef0123456789abcdef
  local-vault spool show lv_0123456789abcdef0123456789abcdef --payload --json")]
    Show {
        /// The event's id, lv_ and 32 hex digits
        event_id: EventId,
        /// Open the payload and show it
        #[arg(long)]
        payload: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// How much is in each state, how full it is, and what is stopped
    #[command(after_help = "\
Examples:
  local-vault spool stats
  local-vault spool stats --json | jq .fullPercent          100 where nothing new is taken")]
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List events that will not be delivered, and why
    DeadLetters(DeadLettersArgs),
    /// Send dead events again, each from its old place
    Retry(RetryArgs),
    /// Let a stream go on that contradicting receipts have stopped
    #[command(after_help = "\
Example:
  local-vault spool release invoices --reason 'the platform restored its database, ticket 17'

Both receipts stay: `local-vault spool show EVENT` shows them. `local-vault spool stats` names what is stopped.")]
    Release {
        /// The stream
        stream: String,
        /// Why; it stands in the audit log
        #[arg(long, value_name = "TEXT", value_parser = reason::parse)]
        reason: String,
    },
    /// Drop the content of what was settled long ago; receipts and other evidence stay
    Purge(PurgeArgs),
    /// Verify every record: its seal, its hash, its answer and signature, and that the whole agrees
    Verify(VerifyArgs),
    /// Write events out, an object each, with all evidence
    Export(ExportArgs),
    /// Seal what is spooled from now on under a new key
    #[command(after_help = "\
Example:
  local-vault spool rotate")]
    Rotate,
    /// Take over a spool or a witness database of the published package; the file itself is only read
    #[command(after_help = "\
Examples:
  local-vault spool import                                        the one at the configured path
  local-vault spool import old-spool.sqlite3")]
    Import {
        /// That spool [default: the file at --spool-db, where it is a published one]
        source: Option<PathBuf>,
    },
}

/// A state as it is named on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateName {
    Queued,
    Relaying,
    Receipted,
    Conflict,
    Dead,
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Queued => Self::Queued,
            StateName::Relaying => Self::Relaying,
            StateName::Receipted => Self::Receipted,
            StateName::Conflict => Self::Conflict,
            StateName::Dead => Self::Dead,
        }
    }
}

/// Events that are read at once.
const PAGE: usize = 500;

pub(super) async fn run(vault: &Vault, command: SpoolCommand) -> Result<u8, Failure> {
    match command {
        SpoolCommand::DeadLetters(args) => dead_letters::run(&vault.reader()?, &args),
        SpoolCommand::Export(args) => export::run(vault, args).await,
        SpoolCommand::Import { source } => import::run(vault, source).await,
        SpoolCommand::List(args) => list::run(&vault.reader()?, args),
        SpoolCommand::Purge(args) => purge::run(vault, &args).await,
        SpoolCommand::Release { stream, reason } => release::run(vault, &stream, &reason).await,
        SpoolCommand::Retry(args) => retry::run(vault, args).await,
        SpoolCommand::Rotate => {
            let epoch = vault.spool().await?.rotate().await?;
            vault.audit()?.note(audit::Event::epoch_rotated(epoch));
            Output::new().line(&format!("epoch {epoch} began; earlier ones stay for what lies under them"))?;
            Ok(0)
        }
        SpoolCommand::Show { event_id, payload, json } => show::run(vault, event_id, payload, json).await,
        SpoolCommand::Stats { json } => stats::run(vault, json),
        SpoolCommand::Verify(args) => verify::run(vault, &args).await,
    }
}

pub(super) fn find(reader: &SpoolReader, id: EventId) -> Result<Event, Failure> {
    reader.event(id)?.ok_or_else(|| unknown(id))
}

fn unknown(id: EventId) -> Failure {
    Failure::data(format!("there is no event {id} in the spool"), "`local-vault spool list` shows what there is.")
}

/// The next events in a state, in order: behind `after`, and in one stream alone where it is named.
fn page(
    reader: &SpoolReader,
    state: Option<State>,
    stream_id: Option<&str>,
    after: i64,
) -> Result<Vec<Event>, Failure> {
    let stream_id = stream_id.map(str::to_owned);
    Ok(reader.list(&Filter { state, stream_id, after, limit: PAGE })?)
}

/// `n events`, as it is said.
fn counted(events: u64) -> String {
    if events == 1 { "1 event".into() } else { format!("{events} events") }
}

fn object(event: &Event) -> Object {
    Object::new()
        .with("seq", event.seq)
        .with("eventId", event.event_id.to_string())
        .with("streamId", event.stream_id.as_str())
        .with("sourceRef", event.source_ref.as_str())
        .with("state", event.state.name())
        .with("attempt", event.attempt)
        .with("failures", event.failures)
        .with("createdAt", event.created_at.to_string())
        .with("payloadSha256", event.payload_sha256.to_string())
        .with("payloadSize", event.payload_size)
        .with("epoch", event.epoch)
        .with("lastError", event.last_error.clone())
}
