use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::format::{ExportFormat, Format, Writer};
use super::{files, unread};
use crate::audit::{self, KINDS, Reader};
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::output::Output;
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::facts::Timestamp;
use crate::protocol::audit::Entry;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault audit show --last 20
  local-vault audit show --since 2h --kind KeyUsed --kind KeyFailed
  local-vault audit show --format jsonl | jq -r 'select(.entry.pid == 4711) | .entry.kind'")]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault audit follow
  local-vault audit follow --last 10 --kind CommandBegun --kind CommandFailed
  local-vault audit follow --since 10m --format syslog | logger-of-yours     twice rather than not at all

Begins with what comes from now on, where neither --since nor --last is given. Ends with 0 at SIGTERM and SIGINT.")]
pub(in crate::cli) struct FollowArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// From a time on, or from so long ago
    #[arg(long, value_name = "TIME|AGO", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Of this kind alone; may be given more than once
    #[arg(long = "kind", value_name = "KIND", value_parser = PossibleValuesParser::new(KINDS), hide_possible_values = true)]
    kinds: Vec<String>,
    /// The last so many alone
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// How they are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault audit export > audit.jsonl
  local-vault audit export --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --format syslog")]
pub(in crate::cli) struct ExportArgs {
    /// From a time on, or from so long ago
    #[arg(long, value_name = "TIME|AGO", value_parser = Moment::parse)]
    since: Option<Moment>,
    /// Before a time, or before so long ago
    #[arg(long, value_name = "TIME|AGO", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// How they are written
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: ExportFormat,
}

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn show(vault: &Vault, args: ShowArgs) -> Result<u8, Failure> {
    let Which { since, kinds, last, format } = args.which;
    let chosen = Chosen { since: since.map(|since| since.at(vault.clock.now())), until: None, kinds };
    let print = Printer::new(format);
    match last {
        Some(last) => drop(tail(folder(vault), &chosen, last, &print)?),
        None => drop(all(folder(vault), &chosen, &print)?),
    }
    Ok(0)
}

pub(super) fn export(vault: &Vault, args: ExportArgs) -> Result<u8, Failure> {
    let now = vault.clock.now();
    let at = |moment: Option<Moment>| moment.map(|moment| moment.at(now));
    let chosen = Chosen { since: at(args.since), until: at(args.until), kinds: Vec::new() };
    drop(all(folder(vault), &chosen, &Printer::new(args.format.into()))?);
    Ok(0)
}

pub(super) async fn follow(vault: &Vault, args: FollowArgs) -> Result<u8, Failure> {
    let mut stop = Stop::listen()?;
    let Which { since, kinds, last, format } = args.which;
    let chosen = Chosen { since: since.map(|since| since.at(vault.clock.now())), until: None, kinds };
    let (folder, print) = (folder(vault), Printer::new(format));
    let mut log_id = audit::begun(folder).map_err(unread)?;
    let mut reader = match last {
        None if chosen.since.is_some() => all(folder, &chosen, &print)?,
        last => tail(folder, &chosen, last.unwrap_or(0), &print)?,
    };
    while !stop.is_asked() {
        stop.sleep(LOOK).await;
        let begun = audit::begun(folder).map_err(unread)?;
        print.rest(&mut reader, &chosen)?;
        // Where it was recovered meanwhile, the new one is another story, to be told from its beginning.
        if begun.is_some() && begun != log_id {
            log_id = begun;
            reader = Reader::open(folder, None)?;
        }
    }
    Ok(0)
}

fn folder(vault: &Vault) -> &Path {
    &vault.settings.audit.folder
}

/// Which entries are shown.
struct Chosen {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    kinds: Vec<String>,
}

impl Chosen {
    fn takes(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && (self.kinds.is_empty() || self.kinds.contains(&entry.kind))
    }
}

struct Printer {
    writer: Writer,
    output: Output,
}

impl Printer {
    fn new(format: Format) -> Self {
        Self { writer: Writer::new(format), output: Output::new() }
    }

    /// Every entry that the reader has by now.
    fn rest(&self, reader: &mut Reader, chosen: &Chosen) -> Result<(), Failure> {
        while let Some((entry, line)) = reader.next_entry()? {
            if chosen.takes(&entry) {
                self.output.line(&self.writer.write(&entry, line))?;
            }
        }
        Ok(())
    }
}

/// Every entry; gives the reader back, which may find more later.
fn all(folder: &Path, chosen: &Chosen, print: &Printer) -> Result<Reader, Failure> {
    files(folder)?;
    let mut reader = Reader::open(folder, chosen.since)?;
    print.rest(&mut reader, chosen)?;
    Ok(reader)
}

/// The last so many entries. Looks at the last file first, and at more of them only where there are not enough in it.
fn tail(folder: &Path, chosen: &Chosen, last: usize, print: &Printer) -> Result<Reader, Failure> {
    let files = files(folder)?;
    let mut back = 1;
    loop {
        let from = files.len().saturating_sub(back);
        let mut reader = Reader::open_at(folder, &files[from])?;
        let mut found = VecDeque::new();
        while let Some((entry, line)) = reader.next_entry()? {
            if last > 0 && chosen.takes(&entry) {
                if found.len() == last {
                    found.pop_front();
                }
                found.push_back(print.writer.write(&entry, line));
            }
        }
        if found.len() == last || from == 0 {
            found.iter().try_for_each(|line| print.output.line(line))?;
            return Ok(reader);
        }
        back *= 2;
    }
}
