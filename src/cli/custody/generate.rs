use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::custody::pkcs11::{KeyName, NewKey, NewWrappingKey, Scheme};
use crate::custody::{SigningKey as _, WrappingKey as _};
use crate::facts::random_id;
use crate::protocol::Algorithm;
use crate::protocol::json::Object;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault custody generate relay >> local-vault.toml
  local-vault custody generate source --algorithm es256 --label source-2026
  local-vault custody generate wrapping --resident

Nothing is overwritten: a label that the token already has is refused. What the token made is read back and tried
before it is printed. With --resident the spool's data keys stay in the token too, which seals and opens each record.")]
pub(in crate::cli) struct GenerateArgs {
    /// What the key is for
    purpose: NewPurpose,
    /// Its label in the token [default: local-vault-PURPOSE]
    #[arg(long)]
    label: Option<String>,
    /// Its algorithm; relay and witness are Ed25519 by contract [default: ed25519]
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
    // Random, so that no two keys ever share it, in whatever token they are.
    let id = random_id("");
    let name = KeyName { label: label.clone(), id: hex::decode(&id).ok() };
    let (heading, members) = match args.purpose {
        NewPurpose::Wrapping => {
            let scheme = if args.resident { Scheme::AesKw } else { Scheme::AesGcm };
            let key = vault.token()?.generate_wrapping(&NewWrappingKey { name, scheme })?;
            let members = Object::new().with("label", label).with("id", id);
            tell(args.json, &members.clone().with("keyId", key.key_id()).with("scheme", key.scheme()))?;
            ("custody.pkcs11.wrapping".to_owned(), members)
        }
        _ => {
            let algorithm = match args.algorithm {
                None | Some(NewAlgorithm::Ed25519) => Algorithm::Ed25519,
                Some(NewAlgorithm::Es256) => Algorithm::Es256,
            };
            let key = vault.token()?.generate(&NewKey { name, algorithm })?;
            let members = Object::new().with("label", label.as_str()).with("id", id);
            let members = members.with("public_key", key.public_key().to_hex()).with("kid", label);
            tell(args.json, &members.clone().with("algorithm", algorithm.name()))?;
            (format!("custody.keys.{purpose}"), members)
        }
    };
    if args.json {
        return Ok(0);
    }
    let output = Output::new();
    output.line("")?;
    output.line(&format!("[{heading}]"))?;
    for name in ["label", "id", "public_key", "kid"] {
        if let Some(value) = members.get(name) {
            output.line(&format!("{name} = {}", value.to_python_text()))?;
        }
    }
    Ok(0)
}

fn tell(json: bool, made: &Object) -> Result<(), Failure> {
    if json { Output::new().json(made) } else { Ok(()) }
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
