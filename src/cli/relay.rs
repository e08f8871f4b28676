mod condition;
mod drain;
mod status;
mod test;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::vault::Vault;
use crate::ingest::check_id;
use crate::spool::Gate;
pub(super) use condition::{Change, Condition};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault relay test                                          before cut-over: one marked event, and its receipt
  local-vault relay drain --json
  local-vault relay status
  local-vault relay resume --installation-id ins_new              after a revocation and a re-enrolment")]
pub(super) enum RelayCommand {
    /// Send what is spooled, with a progress bar, until all of it is settled or the receiver is away
    #[command(after_help = "\
Examples:
  local-vault relay drain
  local-vault relay drain --json | jq 'select(.error)'      what was not delivered, and why")]
    Drain {
        /// One JSON object an event
        #[arg(long)]
        json: bool,
    },
    /// Show where the spool relays to and what holds it back
    #[command(after_help = "\
Examples:
  local-vault relay status
  local-vault relay status --json | jq .state               open, parked, paused or revoked")]
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Hold the relay back; events are spooled all the same
    #[command(after_help = "Example:\n  local-vault relay pause       while the receiver is being moved")]
    Pause,
    /// End a pause, and probe a parked receiver at once
    #[command(after_help = "\
Examples:
  local-vault relay resume
  local-vault relay resume --installation-id ins_new        after a revocation and a re-enrolment")]
    Resume {
        /// The new installation after a re-enrolment: the only way out of a revocation
        #[arg(long, value_name = "NEW")]
        installation_id: Option<String>,
        /// Go on although the receiver is ahead of this spool: you know that it was restored, and what that means
        #[arg(long)]
        accept_restored: bool,
    },
    /// Stop the relay for good, as a revocation by the receiver does: before a box is sold, or when it is stolen
    #[command(after_help = "\
Example:
  local-vault relay revoke --local       the way out: relay resume --installation-id NEW")]
    Revoke {
        /// Here, on this side. The receiver learns nothing of it
        #[arg(long, required = true)]
        local: bool,
    },
    /// Prove the receiver with one marked event, beside the spool: nothing that is spooled is sent
    #[command(after_help = "Example:\n  local-vault relay test --stream-id str_test       before cut-over")]
    Test {
        /// The stream of the marked event
        #[arg(long, default_value = "local-vault-relay-test")]
        stream_id: String,
    },
}

/// Every name of [`state`].
pub(super) const STATES: [&str; 5] = ["open", "parked", "paused", "revoked", "suspect"];

/// What may be sent, in a word.
pub(super) const fn state(gate: Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Parked { .. } | Gate::Probe => "parked",
        Gate::Paused => "paused",
        Gate::Revoked => "revoked",
        Gate::Suspect => "suspect",
    }
}

pub(super) async fn run(vault: Vault, command: RelayCommand) -> Result<u8, Failure> {
    match command {
        RelayCommand::Drain { json } => drain::run(&vault, json).await,
        RelayCommand::Status { json } => status::run(&vault, json),
        RelayCommand::Pause => {
            vault.control()?.pause().await?;
            Output::new().line("paused; `local-vault relay resume` goes on")?;
            Ok(0)
        }
        RelayCommand::Resume { installation_id, accept_restored } => {
            resume(&vault, installation_id, accept_restored).await
        }
        RelayCommand::Revoke { .. } => {
            vault.control()?.revoke(vault.settings.installation_id.clone()).await?;
            Output::new().line("revoked; the events stay, and nothing is sent until a new enrolment is named")?;
            Ok(0)
        }
        RelayCommand::Test { stream_id } => test::run(&vault, &stream_id).await,
    }
}

async fn resume(vault: &Vault, enrolled: Option<String>, accept_restored: bool) -> Result<u8, Failure> {
    if let Some(id) = &enrolled {
        check_id("installation_id", id)?;
    }
    if accept_restored && vault.reader()?.destination()?.suspect.is_none() {
        return Err(Failure::usage("this spool is not suspect", "Leave out --accept-restored. Nothing was changed."));
    }
    let destination = vault.control()?.resume(enrolled.clone(), accept_restored).await?;
    if destination.suspect.is_some() {
        return Err(suspect());
    }
    if destination.revoked_at.is_some() {
        return Err(revoked());
    }
    if enrolled.is_some() && destination.installation_id != enrolled {
        return Err(Failure::refused(
            "that installation was revoked by the receiver",
            "Name the one that the re-enrolment gave; the spool stays with the one it has.",
        ));
    }
    Output::new().line("resumed")?;
    Ok(0)
}

fn suspect() -> Failure {
    Failure::refused(
        "the receiver had events before this spool first sent them",
        "The spool was restored from a copy, or another one sends for this installation. See docs/operations.md; once you \
         know which: local-vault relay resume --accept-restored",
    )
}

fn revoked() -> Failure {
    Failure::refused(
        "this installation is revoked",
        "The events stay. Re-enrol, then run: local-vault relay resume --installation-id NEW",
    )
}
