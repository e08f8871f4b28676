use clap::Subcommand;

use super::failure::Failure;
use super::output::{Output, printable};
use super::vault::{LoadedKey, Vault};
use crate::custody::WrappingKey as _;
use crate::custody::file::Encryption;
use crate::protocol::json::{Object, Value};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum CustodyCommand {
    /// Show each key: purpose, algorithm, where it is, how it is protected, its public half
    #[command(after_help = EXAMPLES)]
    Report {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  local-vault custody report
  local-vault custody report --json | jq -r '.keys[] | .purpose + \"=\" + .publicKeyHex'   for `verify --public-key`";

/// What OWASP recommends for PBKDF2-SHA256. OpenSSL's `genpkey` writes 2,048.
const ENOUGH_ITERATIONS: u32 = 600_000;

pub(super) fn run(vault: &Vault, command: CustodyCommand) -> Result<u8, Failure> {
    let CustodyCommand::Report { json } = command;
    let mut keys = vault.signing_keys()?;
    let root = vault.settings.custody.encryption_key.is_some().then(|| vault.root_key()).transpose()?;
    if let Some(root) = root.as_ref().filter(|_| vault.settings.custody.record.is_none()) {
        let (key, source) = (vault.record_key(root)?, "the encryption key (HKDF)".to_owned());
        keys.push(LoadedKey { key, encryption: Encryption::None, source });
    }
    let output = Output::new();
    if json {
        let keys: Vec<Value> = keys.iter().map(|key| object(key).into()).collect();
        let wrapping = root.map(|root| {
            Object::new()
                .with("keyId", root.key_id())
                .with("scheme", root.scheme())
                .with("protection", root.protection().name())
        });
        output.json(&Object::new().with("backend", "file").with("keys", keys).with("wrapping", wrapping))?;
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    output.table(&["PURPOSE", "ALGORITHM", "PROTECTION", "KID", "AT REST", "SOURCE", "PUBLIC KEY"], &rows)?;
    if let Some(root) = root {
        let line = format!("wrapping key {} ({}, {})", root.key_id(), root.scheme(), root.protection().name());
        output.line(&line)?;
    }
    for key in &keys {
        if let Some(remark) = remark(key) {
            output.note(&remark);
        }
    }
    Ok(0)
}

fn object(loaded: &LoadedKey) -> Object {
    let key = &loaded.key;
    Object::new()
        .with("purpose", key.purpose().name())
        .with("algorithm", key.public_key().algorithm().name())
        .with("protection", key.protection().name())
        .with("kid", key.kid())
        .with("atRest", at_rest(loaded.encryption))
        .with("source", loaded.source.as_str())
        .with("publicKeyHex", key.public_key().to_hex())
}

fn row(loaded: &LoadedKey) -> Vec<String> {
    let key = &loaded.key;
    vec![
        key.purpose().name().into(),
        key.public_key().algorithm().name().into(),
        key.protection().name().into(),
        printable(key.kid()),
        at_rest(loaded.encryption),
        printable(&loaded.source),
        key.public_key().to_hex(),
    ]
}

fn at_rest(encryption: Encryption) -> String {
    match encryption {
        Encryption::None => "plain".into(),
        Encryption::Pbkdf2 { iterations } => format!("pbkdf2 x{iterations}"),
        Encryption::Scrypt => "scrypt".into(),
    }
}

fn remark(loaded: &LoadedKey) -> Option<String> {
    match loaded.encryption {
        Encryption::Pbkdf2 { iterations } if iterations < ENOUGH_ITERATIONS => Some(format!(
            "{}: {iterations} PBKDF2 iterations are few; rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW",
            loaded.source
        )),
        _ => None,
    }
}
