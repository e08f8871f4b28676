#[cfg(feature = "pkcs11")]
mod generate;
mod report;
mod selftest;
#[cfg(feature = "pkcs11")]
mod token;

use clap::Subcommand;

use super::failure::Failure;
use super::vault::Vault;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum CustodyCommand {
    /// Make a key in the token, and print what the config file needs to know of it
    #[cfg(feature = "pkcs11")]
    Generate(generate::GenerateArgs),
    /// List every key in the token, whether it is configured or not
    #[cfg(feature = "pkcs11")]
    #[command(after_help = EXAMPLES)]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the token says of a key, and why it would be refused
    #[cfg(feature = "pkcs11")]
    #[command(after_help = EXAMPLES)]
    Show {
        /// Its label
        label: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the device and each key: purpose, algorithm, where it is, how it is protected, its public half
    #[command(after_help = EXAMPLES)]
    Report {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign and verify, wrap and unwrap, seal and open with each configured key
    Selftest(selftest::SelftestArgs),
    /// Allow one more try of a PIN that was refused, after it was mended where that cannot be seen
    #[cfg(feature = "pkcs11")]
    #[command(after_help = EXAMPLES)]
    RetryPin,
}

const EXAMPLES: &str = "\
Examples:
  local-vault custody report
  local-vault custody report --json | jq -r '.keys[] | .purpose + \"=\" + .publicKeyHex'   for `verify --public-key`
  local-vault custody generate relay >> local-vault.toml
  local-vault custody list
  local-vault custody show local-vault-relay
  local-vault custody selftest --full";

pub(super) fn run(vault: &Vault, command: CustodyCommand) -> Result<u8, Failure> {
    match command {
        #[cfg(feature = "pkcs11")]
        CustodyCommand::Generate(args) => generate::run(vault, args),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::List { json } => token::list(vault, json),
        CustodyCommand::Report { json } => report::run(vault, json),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::RetryPin => token::retry_pin(vault),
        CustodyCommand::Selftest(args) => selftest::run(vault, args),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::Show { label, json } => token::show(vault, &label, json),
    }
}
