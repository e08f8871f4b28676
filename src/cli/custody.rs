#[cfg(any(feature = "pkcs11", feature = "tpm"))]
mod generate;
#[cfg(feature = "tpm")]
mod host;
#[cfg(feature = "tpm")]
mod policy;
mod report;
mod selftest;
#[cfg(feature = "pkcs11")]
mod token;
#[cfg(feature = "tpm")]
mod tpm;

use clap::Subcommand;
#[cfg(feature = "tpm")]
pub(super) use policy::PolicyCommand;
pub(super) use report::object_of as report;
#[cfg(feature = "tpm")]
pub(super) use tpm::TpmCommand;

use super::failure::Failure;
use super::vault::Vault;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum CustodyCommand {
    /// Make a key in the device, and print what the config file needs to know of it
    #[cfg(any(feature = "pkcs11", feature = "tpm"))]
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
    /// Sign PCR values that secrets of the TPM may be released under, and take signed ones into use
    #[cfg(feature = "tpm")]
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show the device and each key: purpose, algorithm, where it is, how it is protected, its public half
    #[command(after_help = EXAMPLES)]
    Report {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Seal the secrets of the TPM anew, so that no earlier policy and no copy of an earlier file opens them
    #[cfg(feature = "tpm")]
    Reseal(policy::ResealArgs),
    /// Sign and verify, wrap and unwrap, seal and open with each configured key
    Selftest(selftest::SelftestArgs),
    /// Allow one more try of a PIN that was refused, after it was mended where that cannot be seen
    #[cfg(feature = "pkcs11")]
    #[command(after_help = EXAMPLES)]
    RetryPin,
    /// Provision a TPM, look at it, and take its keys out of use
    #[cfg(feature = "tpm")]
    #[command(subcommand)]
    Tpm(TpmCommand),
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
        #[cfg(any(feature = "pkcs11", feature = "tpm"))]
        CustodyCommand::Generate(args) => generate::run(vault, args),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::List { json } => token::list(vault, json),
        #[cfg(feature = "tpm")]
        CustodyCommand::Policy(command) => policy::run(vault, command),
        CustodyCommand::Report { json } => report::run(vault, json),
        #[cfg(feature = "tpm")]
        CustodyCommand::Reseal(args) => policy::reseal(vault, args),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::RetryPin => token::retry_pin(vault),
        CustodyCommand::Selftest(args) => selftest::run(vault, args),
        #[cfg(feature = "pkcs11")]
        CustodyCommand::Show { label, json } => token::show(vault, &label, json),
        #[cfg(feature = "tpm")]
        CustodyCommand::Tpm(command) => tpm::run(vault, command),
    }
}
