mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::custody::tpm::{PolicyKey, RecoveryKey};
use crate::protocol::json::Object;
pub(super) use status::{lines, object};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum TpmCommand {
    /// Pin this TPM, sign the first policy, and print what the config file needs to know
    Provision(ProvisionArgs),
    /// Show the TPM, its lockout, which policies hold, and what is sealed
    #[command(after_help = EXAMPLES)]
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Destroy a key: its half in the TPM and its files, or the attestation key. There is no way back
    #[command(after_help = EXAMPLES)]
    Evict(EvictArgs),
    /// Seal signing seeds of another board, which the recovery key opens, to this one
    #[command(after_help = EXAMPLES)]
    Recover {
        /// The recovery key that was made with the other board
        #[arg(long, value_name = "FILE")]
        recovery_key: PathBuf,
        /// The labels of the keys, whose LABEL.recovery.json lies in the TPM's folder
        #[arg(required = true)]
        labels: Vec<String>,
    },
}

const EXAMPLES: &str = "\
Examples:
  local-vault custody tpm provision --policy-key policy.pem --recovery-key recovery.key >> local-vault.toml
  local-vault custody tpm status
  local-vault custody tpm evict local-vault-old --yes
  local-vault custody tpm evict --attestation-key --yes
  local-vault custody tpm recover --recovery-key recovery.key local-vault-relay

Both keys belong to the operator and not on this machine: move them away once it is provisioned. See
docs/custody/tpm.md.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ProvisionArgs {
    /// The operator's key that signs policies; made where there is none
    #[arg(long, value_name = "FILE")]
    policy_key: PathBuf,
    /// What opens it, where it is there and encrypted
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the key is put that opens signing seeds when this board dies; must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with = "recovery_public_key")]
    recovery_key: Option<PathBuf>,
    /// The public half of a recovery key that was made with another board
    #[arg(long, value_name = "HEX", value_parser = public_half)]
    recovery_public_key: Option<[u8; 32]>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct EvictArgs {
    /// The key's label
    #[arg(required_unless_present_any = ["nv_index", "attestation_key"])]
    label: Option<String>,
    /// In place of a label: an NV index that `custody tpm status` shows
    #[arg(long, value_name = "INDEX", value_parser = index, conflicts_with = "label")]
    nv_index: Option<u32>,
    /// In place of a label: the key that quotes, at the handle that attestation.quote names
    #[arg(long, conflicts_with_all = ["label", "nv_index"])]
    attestation_key: bool,
    /// That it is meant
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(vault: &Vault, command: TpmCommand) -> Result<u8, Failure> {
    match command {
        TpmCommand::Evict(args) => evict(vault, &args),
        TpmCommand::Provision(args) => provision(vault, args),
        TpmCommand::Recover { recovery_key, labels } => recover(vault, &recovery_key, labels),
        TpmCommand::Status { json } => status::run(vault, json),
    }
}

fn provision(vault: &Vault, args: ProvisionArgs) -> Result<u8, Failure> {
    let tpm = vault.tpm()?;
    // Before a key is made: where it is refused or the TPM is away, nothing is left behind.
    tpm.refuse_provisioned()?;
    tpm.facts()?;
    let policy_key = if args.policy_key.exists() {
        PolicyKey::load(&args.policy_key, args.passphrase_file.as_deref())?
    } else {
        PolicyKey::create(&args.policy_key)?
    };
    let recovery = match (&args.recovery_key, args.recovery_public_key) {
        (Some(path), _) => Some(RecoveryKey::create(path)?),
        (None, public) => public,
    };
    let public = policy_key.public_key().to_hex();
    let name = tpm.provision(policy_key)?;
    let told = Object::new().with("parent_name", name).with("policy_key", public);
    let told = match recovery {
        Some(recovery) => told.with("recovery_key", hex::encode(recovery)),
        None => told,
    };
    let output = Output::new();
    if args.json {
        output.json(&told)?;
        return Ok(0);
    }
    output.line("# for [custody.tpm]")?;
    for name in ["parent_name", "policy_key", "recovery_key"] {
        if let Some(value) = told.get(name) {
            output.line(&format!("{name} = {}", value.to_python_text()))?;
        }
    }
    output.note("Move the policy key and the recovery key off this machine: whoever has them has the sealed keys.");
    if recovery.is_none() {
        output.note("No recovery key: where this board dies, its signing keys die with it.");
    }
    Ok(0)
}

fn recover(vault: &Vault, key: &std::path::Path, labels: Vec<String>) -> Result<u8, Failure> {
    let recovered = vault.tpm()?.recover(RecoveryKey::load(key)?, labels)?;
    let output = Output::new();
    recovered.iter().try_for_each(|(label, public)| output.line(&format!("{label} {}", public.to_hex())))?;
    output.note("Sealed to this TPM. What was sealed under its epochs on the other board does not open here.");
    Ok(0)
}

fn evict(vault: &Vault, args: &EvictArgs) -> Result<u8, Failure> {
    if args.attestation_key {
        return evict_attestation_key(vault, args.yes);
    }
    let what = match (&args.label, args.nv_index) {
        (Some(label), _) => format!("the key {label:?}"),
        (None, Some(index)) => format!("NV index 0x{index:08x}"),
        (None, None) => return Err(Failure::usage("nothing to evict", "Name a label, or --nv-index.")),
    };
    is_meant(&what, args.yes)?;
    let tpm = vault.tpm()?;
    let was_there = match (&args.label, args.nv_index) {
        (Some(label), _) => tpm.evict(label)?,
        (None, index) => tpm.evict_half(index.unwrap_or_default())?,
    };
    destroyed(&what, was_there)
}

/// In whichever TPM quotes: it need not be one that holds keys.
fn evict_attestation_key(vault: &Vault, yes: bool) -> Result<u8, Failure> {
    let (tpm, settings) = vault.quoting_tpm()?.ok_or_else(|| {
        Failure::config("no TPM that quotes is configured", "Name it under [attestation.quote] in the config file.")
    })?;
    let what = format!("the attestation key at 0x{:08x}", settings.ak_handle);
    is_meant(&what, yes)?;
    destroyed(&what, tpm.evict_attestation_key(settings.ak_handle)?)
}

fn is_meant(what: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let advice = "There is no way back. Say --yes where it is meant.";
    Err(Failure::usage(format!("{what} would be destroyed"), advice))
}

fn destroyed(what: &str, was_there: bool) -> Result<u8, Failure> {
    if !was_there {
        return Err(Failure::config(format!("there is no such thing: {what}"), "Run: local-vault custody tpm status"));
    }
    Output::new().line(&format!("{what} is destroyed"))?;
    Ok(0)
}

fn public_half(text: &str) -> Result<[u8; 32], String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "expected 64 hex digits, as the config file of the other board has them".to_owned())
}

fn index(text: &str) -> Result<u32, String> {
    let index = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    index.ok_or_else(|| "expected an index such as 0x01800000".to_owned())
}
