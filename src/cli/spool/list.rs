use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::{StateName, object};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::spool::{Event, Filter, SpoolReader, State};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool list --state dead
  local-vault spool list --limit 1000 --after 1000 --json")]
pub(in crate::cli) struct ListArgs {
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

pub(super) fn run(reader: &SpoolReader, args: ListArgs) -> Result<u8, Failure> {
    let state = args.state.map(State::from);
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
