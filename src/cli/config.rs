use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::vault::Vault;
use crate::config::{EXAMPLE, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the config file, the environment and every key file, and name all errors at once
    Check,
    /// Print a commented config file
    Example,
}

pub(super) fn run(command: ConfigCommand, flags: &Flags) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check => check(flags),
        ConfigCommand::Example => Output::new().line(EXAMPLE.trim_end()).map(|()| 0),
    }
}

fn check(flags: &Flags) -> Result<u8, Failure> {
    let vault = Vault::load(flags)?;
    let custody = &vault.settings.custody;
    if custody.encryption_key.is_some() {
        vault.root_key()?;
    }
    let keys = vault.signing_keys()?;
    if vault.settings.relay.endpoint.is_some() {
        vault.client(vault.settings.installation_id.as_deref())?;
    }
    let file = vault.settings.config_file.as_ref().map_or("no config file".into(), |file| file.display().to_string());
    Output::new().line(&format!("config: OK ({file}, {} signing keys)", keys.len()))?;
    Ok(0)
}
