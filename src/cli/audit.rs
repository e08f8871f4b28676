mod format;
mod known;
mod maintain;
mod show;
mod syslog;
mod verify;

use std::path::Path;

use clap::Subcommand;

use super::failure::Failure;
use super::moment::Moment;
use super::reason;
use super::recorded::{Recorded, Recording};
use super::vault::Vault;
use crate::audit::{self, AuditError, LogFile};
use show::{ExportArgs, FollowArgs, ShowArgs};
use verify::VerifyArgs;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault audit verify
  local-vault audit show --since 2h --kind CommandBegun --kind CommandFailed
  local-vault audit follow --format syslog
  local-vault audit export --since 2026-01-01T00:00:00Z > audit.jsonl
  local-vault audit head                                        to be noted down, and given to `verify --head` later

docs/audit.md has every kind of entry and what it means.")]
pub(super) enum AuditCommand {
    /// Verify the log: every entry, every signed head, and what others hold of it
    Verify(VerifyArgs),
    /// Show entries
    Show(ShowArgs),
    /// Show entries as they come, until it is told to end
    Follow(FollowArgs),
    /// Give entries away, as they stand in the files or for a syslog server
    Export(ExportArgs),
    /// Take whole files away whose entries are all older than this; export them first
    #[command(after_help = "\
Examples:
  local-vault audit prune --before 365d                         what it would take away
  local-vault audit prune --before 2026-01-01T00:00:00Z --yes")]
    Prune {
        /// A time, or how long ago
        #[arg(long, value_name = "TIME|AGO", value_parser = Moment::parse)]
        before: Moment,
        /// That it is meant
        #[arg(long)]
        yes: bool,
    },
    /// Put a damaged log aside, as it is, and begin a new one that names it
    #[command(after_help = "\
Example:
  local-vault audit verify; local-vault audit recover --reason 'disk sdb failed, see ticket 17'

Stop everything that writes to the log before, and start it again after: what runs on would find another log in its
place, and stop.")]
    Recover {
        /// Why; it stands in the first entry of the new log
        #[arg(long, value_name = "TEXT", value_parser = reason::parse)]
        reason: String,
    },
    /// Print where the log stands, as LOG:SEQ:HASH
    #[command(after_help = "\
Examples:
  local-vault audit head                                        on paper, or on another machine
  local-vault audit verify --head \"$(cat noted-head)\"")]
    Head {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// `load` is for what the command names itself: a log verifies without any configuration.
pub(super) async fn run(load: impl FnOnce() -> Result<Vault, Failure>, command: AuditCommand) -> Result<u8, Failure> {
    match command {
        AuditCommand::Verify(args) => verify::run(load, &args),
        AuditCommand::Show(args) => show::show(&load()?, args),
        AuditCommand::Follow(args) => show::follow(&load()?, args).await,
        AuditCommand::Export(args) => show::export(&load()?, args),
        AuditCommand::Prune { before, yes } => maintain::prune(&load()?, before, yes),
        AuditCommand::Recover { reason } => {
            let vault = load()?;
            maintain::recover(&vault, &reason)?;
            // What it did could not be written down before: there was no log to write it to.
            let recorded = Recorded::begin(&vault, Recording::required("audit recover")).await?;
            recorded.into_iter().for_each(|recorded| recorded.end(&Ok(0)));
            Ok(0)
        }
        AuditCommand::Head { json } => maintain::head(&load()?, json),
    }
}

/// The files of the log in a folder, of which there is one at least.
fn files(folder: &Path) -> Result<Vec<LogFile>, Failure> {
    let files = audit::files(folder).map_err(unread)?;
    if !files.is_empty() {
        return Ok(files);
    }
    let shown = folder.display();
    match audit::begun(folder).map_err(unread)? {
        None => Err(Failure::config(
            format!("there is no audit log in {shown}"),
            "Name the right folder: audit.path in the config file, or --path. The first command that is recorded makes it.",
        )),
        Some(log_id) => {
            Err(changed(&format!("the audit log was changed: all of {log_id} is gone, which lay in {shown}")))
        }
    }
}

/// A log that is not as it was written.
fn changed(message: &str) -> Failure {
    Failure::data(
        message,
        "Find out who or what did that: nothing behind it was looked at. Keep the folder as it is; once you know why, \
         `local-vault audit recover --reason TEXT` puts it aside and begins a new log.",
    )
}

/// A log that cannot be read, and says nothing, or whose form says that it was changed.
fn unread(error: AuditError) -> Failure {
    match error {
        AuditError::Damaged { path, what } => {
            changed(&format!("the audit log was changed: {}: {what}", path.display()))
        }
        other => Failure::from(other).advising(
            "The log could not be read, which says nothing about whether anybody changed it. Check disk and access.",
        ),
    }
}
