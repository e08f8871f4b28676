mod drain;
mod status;
mod test;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::vault::Vault;
use crate::ingest::check_id;
use crate::spool::Gate;

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
pub(super) const STATES: [&str; 4] = ["open", "parked", "paused", "revoked"];

/// What may be sent, in a word.
pub(super) const fn state(gate: Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Parked { .. } | Gate::Probe => "parked",
        Gate::Paused => "paused",
        Gate::Revoked => "revoked",
    }
}

pub(super) async fn run(vault: Vault, command: RelayCommand) -> Result<u8, Failure> {
    match command {
        RelayCommand::Drain { json } => drain::run(&vault, json).await,
        RelayCommand::Status { json } => status::run(&vault, json),
        RelayCommand::Pause => {
            vault.spool().await?.pause().await?;
            Output::new().line("paused; `local-vault relay resume` goes on")?;
            Ok(0)
        }
        RelayCommand::Resume { installation_id } => resume(&vault, installation_id).await,
        RelayCommand::Test { stream_id } => test::run(&vault, &stream_id).await,
    }
}

async fn resume(vault: &Vault, enrolled: Option<String>) -> Result<u8, Failure> {
    if let Some(id) = &enrolled {
        check_id("installation_id", id)?;
    }
    let destination = vault.spool().await?.resume(enrolled.clone()).await?;
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

fn revoked() -> Failure {
    Failure::refused(
        "the receiver has revoked this installation",
        "The events stay. Re-enrol, then run: local-vault relay resume --installation-id NEW",
    )
}
