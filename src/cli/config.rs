use clap::Subcommand;

use super::failure::Failure;
use super::output::{Output, printable};
use super::vault::Vault;
use crate::config::{EXAMPLE, Flags};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum ConfigCommand {
    /// Check the config file, the environment and every key, in files and devices, and name all errors at once
    #[command(after_help = EXAMPLES)]
    Check,
    /// Print a commented config file
    #[command(after_help = EXAMPLES)]
    Example,
}

const EXAMPLES: &str = "\
Examples:
  local-vault config example > local-vault.toml
  local-vault --config local-vault.toml config check";

pub(super) fn run(command: ConfigCommand, flags: &Flags) -> Result<u8, Failure> {
    match command {
        ConfigCommand::Check => check(flags),
        ConfigCommand::Example => Output::new().line(EXAMPLE.trim_end()).map(|()| 0),
    }
}

/// Tries everything that the settings name, and gathers what does not work.
fn check(flags: &Flags) -> Result<u8, Failure> {
    let vault = Vault::load(flags)?;
    let custody = &vault.settings.custody;
    let mut failures = Vec::new();
    if custody.encryption_key.is_some() {
        failures.extend(vault.root_key().err());
    }
    let mut keys = Vec::new();
    for key in vault.load_keys() {
        match key {
            Ok(key) => {
                failures.extend(key.check().err());
                keys.push(key);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if vault.wraps_in_a_device() && vault.has_wrapping_key() {
        failures.extend(vault.wrapping_key().err());
    }
    failures.extend(vault.check_purposes(&keys).err());
    failures.extend(vault.proxy().err());
    if vault.settings.relay.endpoint.is_some() {
        let installation_id = vault.settings.installation_id.as_deref();
        match vault.endpoint(installation_id) {
            // What is left is the CA file; a proxy that was refused above is not told of again.
            Ok(_) if vault.proxy().is_ok() => failures.extend(vault.client(installation_id).err()),
            endpoint => failures.extend(endpoint.err()),
        }
    }
    if !failures.is_empty() {
        return Err(Failure::configs(failures));
    }
    let file = vault.settings.config_file.as_ref().map_or("no config file".into(), |file| file.display().to_string());
    Output::new().line(&format!("config: OK ({}, {} signing keys)", printable(&file), keys.len()))?;
    Ok(0)
}
