use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::record::{Opened, Record};
use super::{StateName, counted, page};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, progress};
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::facts::folder_of;
use crate::spool::{Event, Spool, SpoolReader, State};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool export -o spool.jsonl                         all evidence, no payload; needs no key
  local-vault spool export --state queued --payload -o waiting.jsonl
  local-vault spool export --after 20000 -o more.jsonl            behind what an earlier one has

One JSON object an event and line, in order. docs/operations.md lists its members, and how what waits is enqueued into
another spool.")]
pub(in crate::cli) struct ExportArgs {
    /// In this state alone
    #[arg(long)]
    state: Option<StateName>,
    /// In this stream alone
    #[arg(long)]
    stream_id: Option<String>,
    /// With the payloads; needs the encryption key
    #[arg(long)]
    pub(in crate::cli) payload: bool,
    /// Behind this place in the order
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
    /// To a new file, which others may not read [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How far it came.
struct Done {
    events: u64,
    /// Those of which a payload or an answer does not read.
    damaged: u64,
    /// The place of the last event that was written.
    last: i64,
    is_stopped: bool,
}

pub(super) async fn run(vault: &Vault, args: ExportArgs) -> Result<u8, Failure> {
    let reader = vault.reader()?;
    let spool = if args.payload { Some(vault.spool().await?) } else { None };
    let stop = Stop::listen()?;
    let done = match &args.output {
        None => write(&args, &reader, spool, &stop, &mut Output::new().stream()).await?,
        Some(path) => {
            let mut file = BufWriter::with_capacity(64 * 1024, create(path)?);
            let done = write(&args, &reader, spool, &stop, &mut file).await?;
            settle(file, path).map_err(|e| failed(path, &e))?;
            done
        }
    };
    verdict(&done)
}

/// Writes page by page: memory is bounded by one page and one payload.
async fn write(
    args: &ExportArgs,
    reader: &SpoolReader,
    spool: Option<Arc<Spool>>,
    stop: &Stop,
    to: &mut impl Write,
) -> Result<Done, Failure> {
    let state = args.state.map(State::from);
    let totals = reader.totals()?;
    let of = totals.iter().filter(|totals| state.is_none_or(|state| totals.state == state));
    let bar = progress(of.map(|totals| totals.events).sum(), "exporting");
    let mut done = Done { events: 0, damaged: 0, last: args.after, is_stopped: false };
    loop {
        let events = page(reader, state, args.stream_id.as_deref(), done.last)?;
        if events.is_empty() {
            break;
        }
        for event in events {
            done.last = event.seq;
            let record = record(reader, spool.as_deref(), event).await?;
            done.events += 1;
            done.damaged += u64::from(record.is_damaged());
            let mut line = record.to_object().to_canonical();
            line.push(b'\n');
            to.write_all(&line).map_err(|e| unwritten(args, &e))?;
            bar.inc(1);
        }
        if stop.is_asked() {
            done.is_stopped = true;
            break;
        }
    }
    to.flush().map_err(|e| unwritten(args, &e))?;
    Ok(done)
}

/// An event with all that is kept of it.
async fn record(reader: &SpoolReader, spool: Option<&Spool>, event: Event) -> Result<Record, Failure> {
    let payload = match spool {
        Some(spool) => Some(Opened::of(spool, event.event_id).await?),
        None => None,
    };
    Record::read(reader, event, payload).await
}

fn unwritten(args: &ExportArgs, error: &io::Error) -> Failure {
    match &args.output {
        Some(path) => failed(path, error),
        None => Failure::io("standard output", error),
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let advice = "Nothing was overwritten. Name another file.";
        return Failure::usage(format!("{} is there already", path.display()), advice);
    }
    Failure::io(&format!("cannot write {}", path.display()), error)
}

fn create(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|e| failed(path, &e))
}

/// What was exported may be purged next: it is on the disk before this is said to be done.
fn settle(file: BufWriter<File>, path: &Path) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    File::open(folder_of(path))?.sync_all()
}

fn verdict(done: &Done) -> Result<u8, Failure> {
    let Done { events, damaged, last, is_stopped } = done;
    let output = Output::new();
    output.note(&format!("{} exported, up to seq {last}.", counted(*events)));
    if *is_stopped {
        let advice = format!("What was written is whole. Go on with --after {last}, into another file.");
        return Err(Failure::temporary(format!("stopped behind seq {last}"), advice));
    }
    if *damaged > 0 {
        let advice = "The rest was exported. `local-vault spool verify` says what is wrong.";
        return Err(Failure::data(format!("of {} something is damaged and missing", counted(*damaged)), advice));
    }
    Ok(0)
}
