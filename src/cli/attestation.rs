mod file;
mod register;
mod show;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::vault::{Attested, Vault};
use crate::protocol::json::{Object, Value};

pub(super) use show::{Shown, lines};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum AttestationCommand {
    /// Make and verify a record, quote and all; send nothing
    #[command(after_help = EXAMPLES)]
    SelfTest {
        /// Write the record too, in the place of the last one
        #[arg(long)]
        write: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the record that was written last, and whether it still verifies
    #[command(after_help = EXAMPLES)]
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a record, write it beside the config file, and register it with the receiver
    #[command(after_help = EXAMPLES)]
    Register {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  local-vault attestation self-test
  local-vault attestation self-test --write   where a TPM seals the relay key: there is nothing to register
  local-vault attestation register
  local-vault attestation show
  local-vault verify --attestation attestation.json --public-key HEX --pcr 7=HEX …    anywhere, with no TPM";

pub(super) async fn run(vault: &Vault, command: AttestationCommand) -> Result<u8, Failure> {
    match command {
        AttestationCommand::SelfTest { write, json } => self_test(vault, write, json),
        AttestationCommand::Show { json } => show::run(vault, json),
        AttestationCommand::Register { json } => register::run(vault, json).await,
    }
}

fn self_test(vault: &Vault, write: bool, json: bool) -> Result<u8, Failure> {
    let attested = vault.attest()?;
    tell_of_downgrade(&attested);
    let path = &vault.settings.attestation.file;
    if let Some(signed) = attested.signed.as_ref().filter(|_| write) {
        file::write(path, signed)?;
    }
    let output = Output::new();
    if json {
        let file = attested.signed.as_ref().filter(|_| write).map(|_| path.display().to_string());
        let report = report(vault, &attested);
        output.json(&match file {
            Some(file) => report.with("attestationFile", file),
            None => report,
        })?;
        return Ok(code(&attested));
    }
    match &attested.signed {
        None => output.line("L0: the relay key is not in a token, and there is nothing to attest")?,
        Some(signed) => {
            let quoted = signed.verify(attested.key.public_key()).ok().and_then(|verified| verified.quoted);
            let shown = Shown { signed, quoted: quoted.as_ref() };
            lines(&shown).iter().try_for_each(|line| output.line(line))?;
            let written =
                if write { format!("written to {}", path.display()) } else { "nothing was written".to_owned() };
            output.line(&format!("verified; {written}, nothing was sent"))?;
        }
    }
    Ok(code(&attested))
}

/// A test has failed where less could be shown than was configured, also where that will do.
fn code(attested: &Attested) -> u8 {
    attested.downgraded.as_ref().map_or(0, Failure::code)
}

/// The published members.
fn report(vault: &Vault, attested: &Attested) -> Object {
    let record = attested.signed.as_ref().map(|signed| &signed.record);
    let downgraded = attested.downgraded.iter().map(|failure| Value::from(failure.message()));
    Object::new()
        .with("ok", attested.downgraded.is_none())
        .with("provider", provider(vault))
        .with("assurance", attested.assurance().name())
        .with("keyId", attested.key.kid())
        .with("publicKeyHex", attested.key.public_key().to_hex())
        .with("kind", record.map(|record| record.kind().to_owned()))
        .with("attestationRef", record.map(|record| record.attestation_ref().to_string()))
        .with("downgraded", downgraded.collect::<Vec<Value>>())
}

/// By its published name. Of a TPM that holds keys the published package knows nothing.
const fn provider(vault: &Vault) -> &'static str {
    let quotes = vault.settings.attestation.quote.is_some();
    match vault.settings.custody.backend().as_bytes() {
        b"pkcs11" if quotes => "pkcs11+tpm2",
        b"pkcs11" => "pkcs11",
        b"tpm" => "tpm",
        _ => "software",
    }
}

/// The command that makes a record where there is none, or none that holds.
fn remedy(vault: &Vault) -> &'static str {
    match vault.settings.custody.backend() {
        "tpm" => "local-vault attestation self-test --write",
        _ => "local-vault attestation register",
    }
}

/// Never silent: what was configured is not what is shown.
fn tell_of_downgrade(attested: &Attested) {
    if let Some(failure) = &attested.downgraded {
        let shown = attested.assurance().name();
        Output::new().note(&format!("Downgraded to {shown}, as the configuration allows: {}.", failure.message()));
    }
}
