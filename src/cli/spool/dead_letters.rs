use clap::Args;

use super::{object, page};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::protocol::json::Object;
use crate::spool::{Event, History, SpoolReader, State};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool dead-letters
  local-vault spool dead-letters --conflicts --json | jq 'select(.lastError == \"http-422\").eventId'

`local-vault spool retry` sends dead events again, once the cause is mended. A conflict is never sent again.")]
pub(in crate::cli) struct DeadLettersArgs {
    /// Conflicts too: what the receiver holds otherwise
    #[arg(long)]
    conflicts: bool,
    /// One JSON object an event
    #[arg(long)]
    json: bool,
}

/// An event that will not be delivered.
struct DeadLetter {
    event: Event,
    history: Option<History>,
    /// The status of the receiver's last answer, where it is kept.
    status: Option<u16>,
}

pub(super) fn run(reader: &SpoolReader, args: &DeadLettersArgs) -> Result<u8, Failure> {
    let states = if args.conflicts { [State::Dead, State::Conflict].as_slice() } else { &[State::Dead] };
    let (output, mut rows) = (Output::new(), Vec::new());
    for state in states {
        let mut after = 0;
        loop {
            let events = page(reader, Some(*state), None, after)?;
            let Some(last) = events.last() else { break };
            after = last.seq;
            for event in events {
                let letter = DeadLetter::read(reader, event)?;
                if args.json { output.json(&letter.object())? } else { rows.push(letter.row()) }
            }
        }
    }
    if !args.json {
        output.table(&["EVENT", "STATE", "SETTLED", "ATTEMPT", "STATUS", "ERROR", "STREAM", "SOURCE REF"], &rows)?;
    }
    Ok(0)
}

impl DeadLetter {
    fn read(reader: &SpoolReader, event: Event) -> Result<Self, Failure> {
        let status = reader.answer(&event)?.map(|answer| answer.status);
        Ok(Self { history: reader.history(&event)?, status, event })
    }

    fn object(&self) -> Object {
        let history = self.history.as_ref();
        object(&self.event)
            .with("settledAt", history.map(|history| history.settled_at.to_string()))
            .with("statusCode", self.status.map(u32::from))
            .with("hasContent", history.map(|history| history.has_content))
    }

    fn row(&self) -> Vec<String> {
        let (event, dash) = (&self.event, || "-".to_owned());
        vec![
            event.event_id.to_string(),
            event.state.name().into(),
            self.history.map_or_else(dash, |history| history.settled_at.to_string()),
            event.attempt.to_string(),
            self.status.map_or_else(dash, |status| status.to_string()),
            event.last_error.as_deref().map(printable).unwrap_or_default(),
            printable(&event.stream_id),
            printable(&event.source_ref),
        ]
    }
}
