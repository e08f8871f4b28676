use std::fs;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Subcommand, ValueEnum};

use super::failure::Failure;
use super::output::{Output, printable};
use super::vault::Vault;
use crate::audit;
use crate::facts::EventId;
use crate::protocol::json::{self, Object, Value};
use crate::spool::import::ImportError;
use crate::spool::{Event, Filter, SpoolReader, State, Totals};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault spool stats
  local-vault spool list --state dead
  local-vault spool show lv_0123456789abcdef0123456789abcdef --payload
  local-vault spool rotate
  local-vault spool import old-spool.sqlite3")]
pub(super) enum SpoolCommand {
    /// List events in the order they were spooled
    List(ListArgs),
    /// Show one event; with its payload where the encryption key is configured
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
    /// How much is in each state
    #[command(after_help = "\
Example:
  local-vault spool stats --json")]
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  local-vault spool list --state dead
  local-vault spool list --limit 1000 --after 1000 --json")]
pub(super) struct ListArgs {
    /// In this state alone
    #[arg(long)]
    state: Option<StateName>,
    /// In this stream alone
    #[arg(long)]
    stream_id: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// Behind this place in the order, the SEQ of an earlier list
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
    /// One JSON object an event
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateName {
    Queued,
    Relaying,
    Receipted,
    Conflict,
    Dead,
}

pub(super) async fn run(vault: &Vault, command: SpoolCommand) -> Result<u8, Failure> {
    match command {
        SpoolCommand::List(args) => list(&vault.reader()?, args),
        SpoolCommand::Show { event_id, payload, json } => show(vault, event_id, payload, json).await,
        SpoolCommand::Stats { json } => stats(&vault.reader()?, json),
        SpoolCommand::Rotate => {
            let epoch = vault.spool().await?.rotate().await?;
            vault.audit()?.note(audit::Event::epoch_rotated(epoch));
            Output::new().line(&format!("epoch {epoch} began; earlier ones stay for what lies under them"))?;
            Ok(0)
        }
        SpoolCommand::Import { source } => import(vault, source).await,
    }
}

fn list(reader: &SpoolReader, args: ListArgs) -> Result<u8, Failure> {
    let state = args.state.map(|name| match name {
        StateName::Queued => State::Queued,
        StateName::Relaying => State::Relaying,
        StateName::Receipted => State::Receipted,
        StateName::Conflict => State::Conflict,
        StateName::Dead => State::Dead,
    });
    let filter = Filter { state, stream_id: args.stream_id, after: args.after, limit: args.limit };
    let events = reader.list(&filter)?;
    let output = Output::new();
    if args.json {
        events.iter().try_for_each(|event| output.json(&object(event)))?;
        return Ok(0);
    }
    let row = |e: &Event| {
        vec![
            e.seq.to_string(),
            e.event_id.to_string(),
            e.state.name().into(),
            e.attempt.to_string(),
            e.created_at.to_string(),
            printable(&e.stream_id),
            printable(&e.source_ref),
            e.last_error.as_deref().map(printable).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    output.table(&["SEQ", "EVENT", "STATE", "ATTEMPT", "CREATED", "STREAM", "SOURCE REF", "ERROR"], &rows)?;
    if events.len() == filter.limit {
        let last = events.last().map_or(0, |event| event.seq);
        output.note(&format!("There may be more: --after {last}"));
    }
    Ok(0)
}

async fn show(vault: &Vault, id: EventId, with_payload: bool, as_json: bool) -> Result<u8, Failure> {
    let event = find(&vault.reader()?, id)?;
    let mut shown = object(&event);
    if with_payload {
        let payload = vault.spool().await?.payload(id).await?.ok_or_else(|| unknown(id))?;
        let payload = json::parse(&payload).map_err(|e| Failure::data(e.to_string(), "The payload is not shown."))?;
        shown = shown.with("payload", payload);
    }
    let output = Output::new();
    if as_json {
        output.json(&shown)?;
        return Ok(0);
    }
    for (name, value) in shown.iter() {
        let text = match value {
            Value::String(text) => printable(text),
            Value::Null => "-".into(),
            other => other.to_python_text(),
        };
        output.line(&format!("{name:14} {text}"))?;
    }
    Ok(0)
}

fn stats(reader: &SpoolReader, as_json: bool) -> Result<u8, Failure> {
    let totals = reader.totals()?;
    let (epoch, epochs) = reader.epochs()?;
    let oldest = reader.oldest_pending()?.map(|time| time.to_string());
    let output = Output::new();
    if as_json {
        let states = totals.iter().fold(Object::new(), |states, t| {
            states.with(t.state.name(), Object::new().with("events", t.events).with("bytes", t.bytes))
        });
        let stats = Object::new()
            .with("states", states)
            .with("epoch", epoch)
            .with("epochs", epochs)
            .with("oldestPending", oldest);
        output.json(&stats)?;
        return Ok(0);
    }
    let row = |t: &Totals| vec![t.state.name().into(), t.events.to_string(), t.bytes.to_string()];
    output.table(&["STATE", "EVENTS", "BYTES"], &totals.iter().map(row).collect::<Vec<_>>())?;
    output.line(&format!("oldest unsettled {}", oldest.as_deref().unwrap_or("-")))?;
    output.line(&format!("epoch {epoch} of {epochs}"))?;
    Ok(0)
}

async fn import(vault: &Vault, source: Option<PathBuf>) -> Result<u8, Failure> {
    if let Some(other) = source.as_ref().filter(|path| fs::metadata(path).is_ok_and(|meta| !meta.is_file())) {
        return Err(ImportError::NotPublished(other.clone()).into()); // a folder, most likely
    }
    let (spool, witness) = match &source {
        Some(source) => {
            let witness = vault.is_published_witness(source)?;
            (!witness, witness)
        }
        None => (vault.takes_over_a_spool()?, vault.takes_over_a_witness()?),
    };
    if source.is_none() && !spool && !witness {
        return Err(ImportError::NotPublished(vault.spool_path()?).into());
    }
    // Opening imports what lies at the configured path itself.
    if spool {
        match &source {
            Some(source) => vault.import_spool(source).await?,
            None => drop(vault.spool().await?),
        }
        Output::new().line(&format!("the spool is {}", printable(&vault.spool_path()?.to_string_lossy())))?;
    }
    if witness {
        let mut opened = vault.witness()?;
        if let Some(source) = &source {
            vault.import_witness(&mut opened, source)?;
        }
        let path = vault.witness_path()?;
        Output::new().line(&format!("the witness database is {}", printable(&path.to_string_lossy())))?;
    }
    Ok(0)
}

pub(super) fn find(reader: &SpoolReader, id: EventId) -> Result<Event, Failure> {
    reader.event(id)?.ok_or_else(|| unknown(id))
}

fn unknown(id: EventId) -> Failure {
    Failure::data(format!("there is no event {id} in the spool"), "`local-vault spool list` shows what there is.")
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
