use clap::Args;
use tokio::task::JoinSet;

use super::{counted, find, page};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, progress};
use crate::cli::vault::Vault;
use crate::facts::EventId;
use crate::spool::{Event, PAYLOAD_DRIFT, SpoolControl, SpoolError, SpoolReader, State};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool retry lv_0123456789abcdef0123456789abcdef
  local-vault spool retry --all-dead --stream-id invoices

A dead event takes its old place: in front of whatever waits in its stream, and behind what was spooled before it. What
was settled meanwhile stays settled, so the receiver gets it after events that were spooled later. It is given eight new
judgements. A conflict is never sent again.")]
pub(in crate::cli) struct RetryArgs {
    /// The events' ids
    #[arg(value_name = "EVENT", required_unless_present = "all_dead")]
    events: Vec<EventId>,
    /// Every dead event whose content is there and whole
    #[arg(long, conflicts_with = "events")]
    all_dead: bool,
    /// In this stream alone
    #[arg(long, requires = "all_dead", conflicts_with = "events")]
    stream_id: Option<String>,
}

/// What became of all that were asked for.
#[derive(Default)]
struct Count {
    retried: u64,
    purged: u64,
    damaged: u64,
}

pub(super) async fn run(vault: &Vault, args: RetryArgs) -> Result<u8, Failure> {
    let (reader, control) = (vault.reader()?, vault.control()?);
    let count = if args.all_dead {
        all(&reader, &control, args.stream_id.as_deref()).await?
    } else {
        named(&reader, &control, args.events).await?
    };
    let output = Output::new();
    output.line(&format!("{} to be sent again, each from its old place", counted(count.retried)))?;
    if count.purged > 0 {
        output.note(&format!("{} left: the content was purged.", counted(count.purged)));
    }
    if count.damaged > 0 {
        output.note(&format!("{} left: the records are damaged, see `spool verify`.", counted(count.damaged)));
    }
    Ok(0)
}

/// Looks at each before any is touched.
async fn named(reader: &SpoolReader, control: &SpoolControl, ids: Vec<EventId>) -> Result<Count, Failure> {
    for id in &ids {
        let event = find(reader, *id)?;
        if let Some(refused) = refusal(reader, &event)? {
            return Err(refused);
        }
    }
    let mut count = Count::default();
    for id in ids {
        match control.retry(id).await {
            Ok(()) => count.retried += 1,
            // Named twice, or somebody else was faster.
            Err(SpoolError::NotDead { .. }) if is_pending(reader, id)? => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(count)
}

fn is_pending(reader: &SpoolReader, id: EventId) -> Result<bool, Failure> {
    Ok(reader.event(id)?.is_some_and(|event| !event.state.is_settled()))
}

/// Why an event is not sent again, where it is not.
fn refusal(reader: &SpoolReader, event: &Event) -> Result<Option<Failure>, Failure> {
    let id = event.event_id;
    Ok(match event.state {
        State::Dead if reader.history(event)?.is_some_and(|history| !history.has_content) => {
            Some(SpoolError::Purged { event_id: id }.into())
        }
        State::Dead => None,
        State::Conflict => Some(Failure::data(
            format!("{id} is a conflict: the receiver holds other content under its source_ref"),
            "It would say so again. Nothing was changed. Once you know which content is right, send that under a new \
             source_ref; `local-vault receipt show` has the evidence.",
        )),
        State::Queued | State::Relaying | State::Receipted => {
            let advice = "Nothing was changed. `local-vault spool dead-letters` lists what can be sent again.";
            Some(Failure::data(format!("{id} is not dead but {}", event.state.name()), advice))
        }
    })
}

/// A page at a time, so that the writer commits many at once.
async fn all(reader: &SpoolReader, control: &SpoolControl, stream_id: Option<&str>) -> Result<Count, Failure> {
    let dead = reader.totals()?.iter().find(|totals| totals.state == State::Dead).map_or(0, |totals| totals.events);
    let bar = progress(dead, "retrying");
    let (mut count, mut after) = (Count::default(), 0);
    loop {
        let events = page(reader, Some(State::Dead), stream_id, after)?;
        let Some(last) = events.last() else { return Ok(count) };
        after = last.seq;
        let mut retries = JoinSet::new();
        for event in &events {
            if event.last_error.as_deref() == Some(PAYLOAD_DRIFT) {
                count.damaged += 1;
                continue;
            }
            let (control, id) = (control.clone(), event.event_id);
            retries.spawn(async move { control.retry(id).await });
        }
        for retried in retries.join_all().await {
            match retried {
                Ok(()) => count.retried += 1,
                Err(SpoolError::Purged { .. }) => count.purged += 1,
                Err(SpoolError::NotDead { .. }) => {} // somebody else was faster
                Err(e) => return Err(e.into()),
            }
        }
        bar.inc(events.len() as u64);
    }
}
