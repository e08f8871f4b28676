use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::vault::Vault;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault maintenance on --reason \"the disk is being moved\"
  local-vault maintenance off

Needs no key, and no service that runs.")]
pub(super) enum MaintenanceCommand {
    /// Take nothing new; what waits is sent all the same
    #[command(after_help = "Example:\n  local-vault maintenance on --reason \"the disk is being moved\"")]
    On {
        /// Why, for whoever is refused meanwhile
        #[arg(long, value_name = "TEXT", default_value = "maintenance")]
        reason: String,
    },
    /// Take new events again
    #[command(after_help = "Example:\n  local-vault maintenance off")]
    Off,
}

pub(super) async fn run(vault: &Vault, command: MaintenanceCommand) -> Result<u8, Failure> {
    let control = vault.control()?;
    let told = match command {
        MaintenanceCommand::On { reason } => {
            control.set_maintenance(Some(reason)).await?;
            "maintenance is on: nothing new is taken; `local-vault maintenance off` ends it"
        }
        MaintenanceCommand::Off => {
            control.set_maintenance(None).await?;
            "maintenance is off"
        }
    };
    Output::new().line(told)?;
    Ok(0)
}
