use clap::{Args, Subcommand};

use super::failure::Failure;
use super::output::{Output, printable};
use super::spool::find;
use super::vault::Vault;
use crate::facts::EventId;
use crate::protocol::bundle::Bundle;
use crate::protocol::json;
use crate::spool::{Answer, Event, Filter, Spool, SpoolReader, State};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum ReceiptCommand {
    /// Show receipts; with --json in a form that `verify` proves with public keys alone
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// One event's receipt
    #[arg(required_unless_present = "all")]
    event_id: Option<EventId>,
    /// Every receipt
    #[arg(long, conflicts_with = "event_id")]
    all: bool,
    /// One JSON object a receipt, whole
    #[arg(long)]
    json: bool,
    /// With the payload; needs the encryption key
    #[arg(long, requires = "json")]
    pub(super) payload: bool,
}

const EXAMPLES: &str = "\
Examples:
  local-vault receipt show lv_0123456789abcdef0123456789abcdef
  local-vault receipt show --all --json --payload > receipts.jsonl
  local-vault verify receipts.jsonl --public-key relay=HEX --public-key source=HEX";

/// Events that are read at once.
const PAGE: usize = 500;

pub(super) async fn run(vault: &Vault, command: ReceiptCommand) -> Result<u8, Failure> {
    let ReceiptCommand::Show(args) = command;
    let reader = vault.reader()?;
    let spool = if args.payload { Some(vault.spool().await?) } else { None };
    let output = Output::new();
    let mut rows = Vec::new();
    let mut after = 0;
    loop {
        let page = match args.event_id {
            Some(id) => vec![find(&reader, id)?],
            None => receipted(&reader, after)?,
        };
        for event in &page {
            let bundle = match reader.answer(event)? {
                Some(answer) => bundle(event, answer, spool.as_deref()).await?,
                None => None,
            };
            let Some(bundle) = bundle else {
                if args.event_id.is_some() {
                    return Err(none(event));
                }
                continue; // delivered by the published package, which kept no receipt
            };
            if args.json {
                output.json(&bundle.to_object())?;
            } else {
                rows.push(row(&bundle));
            }
        }
        after = page.last().map_or(after, |event| event.seq);
        if args.event_id.is_some() || page.len() < PAGE {
            break;
        }
    }
    if !args.json {
        output.table(&["EVENT", "RECEIVED", "ATTEMPT", "RECEIPT HASH", "SOURCE REF"], &rows)?;
    }
    Ok(0)
}

/// An event with the answer that settled it, as it is passed on; `None` where it went without an envelope.
pub(super) async fn bundle(event: &Event, answer: Answer, spool: Option<&Spool>) -> Result<Option<Bundle>, Failure> {
    let payload = match spool {
        Some(spool) => spool.payload(event.event_id).await?,
        None => None,
    };
    let payload = payload.map(|payload| json::parse(&payload)).transpose();
    let payload = payload.map_err(|e| Failure::data(e.to_string(), "The payload is not shown."))?;
    Ok(answer.bundle(event, payload))
}

fn row(bundle: &Bundle) -> Vec<String> {
    let envelope = &bundle.envelope;
    vec![
        envelope.event_id.clone(),
        bundle.received_at.to_string(),
        envelope.attempt.to_string(),
        bundle.acknowledgement().map_or_else(|_| "none: see --json".into(), |ack| ack.receipt_hash),
        printable(&envelope.source_ref),
    ]
}

fn none(event: &Event) -> Failure {
    let state = event.state.name();
    let advice = match event.state {
        State::Queued | State::Relaying => {
            "It is not settled yet; `local-vault relay status` shows what holds it back."
        }
        _ => "The receiver's answer was not kept, or an earlier version settled it.",
    };
    Failure::data(format!("there is no receipt for {} ({state})", event.event_id), advice)
}

/// The next receipted events behind `after`, in order; none where there are no more.
pub(super) fn receipted(reader: &SpoolReader, after: i64) -> Result<Vec<Event>, Failure> {
    Ok(reader.list(&Filter { state: Some(State::Receipted), stream_id: None, after, limit: PAGE })?)
}
