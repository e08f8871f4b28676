use clap::{Args, ValueEnum};

use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
#[cfg(feature = "pkcs11")]
use crate::custody::SigningKey as _;
use crate::custody::WrappingKey as _;
#[cfg(feature = "pkcs11")]
use crate::custody::pkcs11::{KeyName, NewKey, NewWrappingKey, Scheme};
#[cfg(feature = "pkcs11")]
use crate::facts::random_id;
use crate::protocol::Algorithm;
use crate::protocol::json::Object;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault custody generate relay >> local-vault.toml
  local-vault custody generate source --algorithm es256 --label source-2026
  local-vault custody generate wrapping --resident

Nothing is overwritten: a label that the device already has is refused. What the device made is read back and tried
before it is printed. With --resident the spool's data keys stay in the token too, which seals and opens each record.
A TPM cannot sign Ed25519: it seals the seed of such a key, and releases it to locked memory while it is used.")]
pub(in crate::cli) struct GenerateArgs {
    /// What the key is for
    purpose: NewPurpose,
    /// Its label in the device [default: local-vault-PURPOSE]
    #[arg(long)]
    label: Option<String>,
    /// Its algorithm; relay and witness are Ed25519 by contract [default: ed25519; in a TPM es256 for source and
    /// record, which then never leave it]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<NewAlgorithm>,
    /// A wrapping key whose data keys stay in the token
    #[arg(long)]
    resident: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NewPurpose {
    Relay,
    Source,
    Witness,
    Record,
    Wrapping,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NewAlgorithm {
    Ed25519,
    Es256,
}

pub(super) fn run(vault: &Vault, args: GenerateArgs) -> Result<u8, Failure> {
    let purpose = args.purpose.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    check(&args)?;
    let label = args.label.clone().unwrap_or_else(|| format!("local-vault-{purpose}"));
    check_label(&label)?;
    let made = make(vault, &args, label)?;
    let public_key = made.told.get_str("public_key").map(str::to_owned);
    vault.audit()?.note(Event::key_made(&purpose, vault.settings.custody.backend(), public_key));
    let output = Output::new();
    if args.json {
        output.json(&made.told)?;
        return Ok(0);
    }
    let heading = match made.wraps_under {
        Some(section) => section.to_owned(),
        None => format!("custody.keys.{purpose}"),
    };
    output.line("")?;
    output.line(&format!("[{heading}]"))?;
    for name in ["label", "id", "public_key", "kid", "key_id"] {
        if let Some(value) = made.told.get(name) {
            output.line(&format!("{name} = {}", value.to_python_text()))?;
        }
    }
    Ok(0)
}

/// A key as it was made.
struct Made {
    /// What is told of it; the config file takes the members that it knows.
    told: Object,
    /// The section of the config file that names a wrapping key.
    wraps_under: Option<&'static str>,
}

#[cfg(feature = "tpm")]
fn make(vault: &Vault, args: &GenerateArgs, label: String) -> Result<Made, Failure> {
    if vault.settings.custody.tpm.is_none() {
        return make_in_token(vault, args, label);
    }
    if args.resident {
        let advice = "A TPM is too slow to seal each record in. Its data keys are released to locked memory.";
        return Err(Failure::usage("a TPM has no resident data keys", advice));
    }
    let tpm = vault.tpm()?;
    if args.purpose == NewPurpose::Wrapping {
        let key = tpm.generate_wrapping(&label)?;
        let told = Object::new().with("label", label).with("key_id", key.key_id());
        let told = told.with("keyId", key.key_id()).with("scheme", key.scheme());
        return Ok(Made { told, wraps_under: Some("custody.tpm.wrapping") });
    }
    // What the contracts leave open is best kept where it never leaves.
    let contract = matches!(args.purpose, NewPurpose::Relay | NewPurpose::Witness);
    let usual = if contract { Algorithm::Ed25519 } else { Algorithm::Es256 };
    let key = tpm.generate(&label, args.algorithm.map_or(usual, Into::into))?;
    let told = Object::new().with("label", label.as_str()).with("public_key", key.public_key().to_hex());
    let told = told.with("kid", label).with("algorithm", key.algorithm().name());
    Ok(Made { told: told.with("protection", key.protection().name()), wraps_under: None })
}

#[cfg(not(feature = "tpm"))]
use make_in_token as make;

#[cfg(feature = "pkcs11")]
fn make_in_token(vault: &Vault, args: &GenerateArgs, label: String) -> Result<Made, Failure> {
    // Random, so that no two keys ever share it, in whatever token they are.
    let id = random_id("");
    let name = KeyName { label: label.clone(), id: hex::decode(&id).ok() };
    if args.purpose == NewPurpose::Wrapping {
        let scheme = if args.resident { Scheme::AesKw } else { Scheme::AesGcm };
        let key = vault.token()?.generate_wrapping(&NewWrappingKey { name, scheme })?;
        let told = Object::new().with("label", label).with("id", id);
        let told = told.with("keyId", key.key_id()).with("scheme", key.scheme());
        return Ok(Made { told, wraps_under: Some("custody.pkcs11.wrapping") });
    }
    let algorithm = args.algorithm.map_or(Algorithm::Ed25519, Into::into);
    let key = vault.token()?.generate(&NewKey { name, algorithm })?;
    let told = Object::new().with("label", label.as_str()).with("id", id);
    let told = told.with("public_key", key.public_key().to_hex()).with("kid", label);
    Ok(Made { told: told.with("algorithm", algorithm.name()), wraps_under: None })
}

#[cfg(not(feature = "pkcs11"))]
fn make_in_token(_: &Vault, _: &GenerateArgs, _: String) -> Result<Made, Failure> {
    Err(Failure::config("no device is configured", "Set custody.backend to \"tpm\" in the config file."))
}

impl From<NewAlgorithm> for Algorithm {
    fn from(algorithm: NewAlgorithm) -> Self {
        match algorithm {
            NewAlgorithm::Ed25519 => Self::Ed25519,
            NewAlgorithm::Es256 => Self::Es256,
        }
    }
}

fn check(args: &GenerateArgs) -> Result<(), Failure> {
    let wrapping = args.purpose == NewPurpose::Wrapping;
    if args.resident && !wrapping {
        return Err(Failure::usage("--resident is for a wrapping key", "Signing keys never leave the token."));
    }
    if wrapping && args.algorithm.is_some() {
        return Err(Failure::usage("--algorithm is for a signing key", "A wrapping key is AES-256."));
    }
    let contract = matches!(args.purpose, NewPurpose::Relay | NewPurpose::Witness);
    if contract && matches!(args.algorithm, Some(NewAlgorithm::Es256)) {
        let advice = "Their contracts with the platform know no other; es256 serves source and record.";
        return Err(Failure::usage("relay and witness keys are Ed25519", advice));
    }
    Ok(())
}

/// A label goes into the config file as it is.
fn check_label(label: &str) -> Result<(), Failure> {
    let plain = |c: char| !c.is_control() && c != '"' && c != '\\' && c <= '\u{ffff}';
    if (1..=32).contains(&label.len()) && label.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::usage("a label has 1 to 32 bytes, without quotes and backslashes", "Choose another --label."))
}
