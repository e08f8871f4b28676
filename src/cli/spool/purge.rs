use std::fs;
use std::path::Path;

use clap::Args;

use super::counted;
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::output::{Output, progress};
use crate::cli::vault::Vault;
use crate::facts::{Timestamp, with_suffix};
use crate::spool::{Purged, SpoolReader, State};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault spool purge --older-than 30d                        asks first
  local-vault spool purge --older-than 2026-01-01T00:00:00Z --dead --conflicts --yes

Content is dropped for good: export what you want to keep. Envelopes, signatures, receipts and hashes stay for ever, and
what is not settled is never touched. A dead event without its content cannot be sent again.")]
pub(in crate::cli) struct PurgeArgs {
    /// Settled before this time, or so long ago
    #[arg(long, value_name = "TIME|AGO", value_parser = Moment::parse)]
    older_than: Moment,
    /// Dead events too
    #[arg(long)]
    dead: bool,
    /// Conflicts too
    #[arg(long)]
    conflicts: bool,
    /// That it is meant
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(vault: &Vault, args: &PurgeArgs) -> Result<u8, Failure> {
    let before = args.older_than.at(vault.clock.now());
    let found = found(&vault.reader()?, args, before)?;
    let total = found.iter().map(|(_, events)| events).sum();
    let output = Output::new();
    if total == 0 {
        output.line(&format!("nothing to purge: no content of what was settled before {before}"))?;
        return give_back(vault, &output).await;
    }
    if !args.yes && !confirmed(&found, total, before)? {
        output.line("nothing was purged")?;
        return Ok(0);
    }
    let (control, path) = (vault.control()?, vault.spool_path()?);
    let size = size(&path);
    let bar = progress(total, "purging");
    let mut purged = Purged::default();
    for (state, _) in &found {
        let done = purged.events;
        let some = control.purge(*state, before, |so_far| bar.set_position(done + so_far.events)).await?;
        purged.events += some.events;
        purged.bytes += some.bytes;
    }
    bar.finish_and_clear();
    let (events, back) = (counted(purged.events), size.saturating_sub(self::size(&path)));
    output.line(&format!("dropped the content of {events}, {} bytes of payload; evidence stays", purged.bytes))?;
    output.line(&format!("{back} bytes came back to the disk"))?;
    Ok(0)
}

/// An earlier purge may have been interrupted before the room came back.
async fn give_back(vault: &Vault, output: &Output) -> Result<u8, Failure> {
    let (control, path) = (vault.control()?, vault.spool_path()?);
    let size = size(&path);
    control.give_back().await?;
    let back = size.saturating_sub(self::size(&path));
    if back > 0 {
        output.line(&format!("{back} bytes came back to the disk"))?;
    }
    Ok(0)
}

/// What would go, of each state.
fn found(reader: &SpoolReader, args: &PurgeArgs, before: Timestamp) -> Result<Vec<(State, u64)>, Failure> {
    let states = [(State::Receipted, true), (State::Conflict, args.conflicts), (State::Dead, args.dead)];
    let asked = states.into_iter().filter(|(_, asked)| *asked);
    asked.map(|(state, _)| Ok((state, reader.purgeable(state, before)?))).collect()
}

fn confirmed(found: &[(State, u64)], total: u64, before: Timestamp) -> Result<bool, Failure> {
    let each: Vec<_> = found.iter().map(|(state, events)| format!("{events} {}", state.name())).collect();
    let what = format!(
        "the content of {} that were settled before {before} would be dropped ({})",
        counted(total),
        each.join(", ")
    );
    match Output::new().ask(&format!("There is no way back: {what}. Go on?"))? {
        Some(confirmed) => Ok(confirmed),
        None => {
            let advice = "There is no way back: `local-vault spool export --payload` keeps it elsewhere. Say --yes where \
                          it is meant.";
            Err(Failure::usage(what, advice))
        }
    }
}

/// What the spool's files take up on the disk, in bytes.
fn size(path: &Path) -> u64 {
    // A file that is not there takes up nothing.
    let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    len(path) + len(&with_suffix(path, "-wal"))
}
