//! How the service is, in one look: asked of it over its socket, or read from the spool where none runs.

mod ask;
mod collect;
mod show;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::output::Output;
use super::stop::Stop;
use super::vault::Vault;
use crate::protocol::json::Object;
pub(super) use ask::{AskError, ask, post};
pub(super) use collect::offline as offline_status;
pub(super) use collect::{Live, blind, collect, reduced};
pub(super) use show::summary;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault status
  local-vault status --json | jq -r .state        see docs/daemon.md for all of them
  local-vault status --watch 5

Needs no key. Asks the service over its socket; where none answers, it reads the spool and says so. Ends with 0 where the
state is ok or paused, 69 where it is starting, degraded or parked, 75 where it is full or maintenance, and 77 where it
is revoked or suspect.")]
pub(super) struct StatusArgs {
    /// As JSON, as `GET /v1/status` gives it
    #[arg(long)]
    json: bool,
    /// Again and again, with so many seconds between [default: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u16).range(1..))]
    watch: Option<u16>,
}

pub(super) async fn run(vault: &Vault, args: &StatusArgs) -> Result<u8, Failure> {
    let Some(seconds) = args.watch else { return tell(&look(vault).await?, args.json) };
    let mut stop = Stop::listen()?;
    let redraws = !args.json && io::stdout().is_terminal();
    loop {
        let status = look(vault).await?;
        if redraws {
            Output::new().clear()?;
        }
        let code = tell(&status, args.json)?;
        stop.sleep(Duration::from_secs(seconds.into())).await;
        if stop.is_asked() {
            return Ok(code);
        }
    }
}

/// What the service says, or what the spool says where nobody serves.
async fn look(vault: &Vault) -> Result<Object, Failure> {
    match ask(&vault.settings.ingest.socket, "/v1/status").await {
        Ok(answer) => ask::object(&answer),
        Err(why) => collect::offline(vault, &why),
    }
}

fn tell(status: &Object, json: bool) -> Result<u8, Failure> {
    if json {
        Output::new().json(status)?;
    } else {
        show::print(status)?;
    }
    Ok(collect::code(status))
}
