//! A bundle for whoever helps: what runs here, how it is set up and how it is, without a secret in it.

mod archive;
mod audit;
mod config;
mod host;
mod logs;
mod store;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::apart::apart;
use super::failure::Failure;
use super::output::Output;
use super::status::{ask, offline_status};
use super::vault::{Vault, config_file};
use super::{custody, metrics, spool};
use crate::config::Flags;
use crate::facts::{Clock as _, SystemClock};
use crate::protocol::json::{self, Object};
use archive::Part;

/// How long a device may take for the report on it.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault support-bundle                      into a new file in this folder
  local-vault support-bundle bundle.tar && tar -xOf bundle.tar | less
  local-vault support-bundle --with-device        asks the token or TPM as well, which takes its PIN

Nothing is sent anywhere. Look at it before you pass it on: README.txt in it says what each file is for. Keys, PINs,
passphrases, payloads and passwords are not in it; names of hosts, files, keys, stopped streams and of this installation
are.")]
pub(super) struct SupportArgs {
    /// The file to write, which must not be there [default: local-vault-support-TIME.tar]
    file: Option<PathBuf>,
    /// Ask the device what `custody report` asks it
    #[arg(long)]
    pub(super) with_device: bool,
}

/// `vault`: the vault, or why there is none. What can be told without one is told all the same.
pub(super) async fn run(vault: Result<Vault, Failure>, flags: &Flags, args: SupportArgs) -> Result<u8, Failure> {
    let stamp: String = SystemClock.now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let file = args.file.unwrap_or_else(|| format!("local-vault-support-{stamp}.tar").into());
    let mut parts = vec![
        Part::new("config.txt", "the config file, without secrets, comments and unknown keys", config(flags)),
        Part::new(
            "versions.txt",
            "versions: ours, SQLite, the kernel, libraries by their SHA-256",
            Ok(host::versions()),
        ),
    ];
    match vault.map(Arc::new) {
        Ok(vault) => parts.extend(of_the_vault(&vault, args.with_device).await),
        Err(failure) => parts.push(Part::new("refused.txt", "why the configuration is refused", Ok(told(&failure)))),
    }
    archive::write(&file, &parts, &stamp)?;
    Output::new().line(&format!("{} files in {}", parts.len() + 1, file.display()))?;
    Ok(0)
}

async fn of_the_vault(vault: &Arc<Vault>, with_device: bool) -> Vec<Part> {
    let settings = &vault.settings;
    let status = status(vault).await.map(|status| line(&status));
    let custody = custody(vault.clone(), with_device).await.map(|report| line(&report));
    let path = vault.spool_path();
    vec![
        Part::new("status.json", "how the service is, as `local-vault status --json` tells", status),
        Part::new(
            "spool.json",
            "as `local-vault spool stats --json` tells",
            spool::stats(vault).map(|stats| line(&stats)),
        ),
        Part::new("custody.json", "keys and what keeps them, as `local-vault custody report --json` tells", custody),
        Part::new("metrics.txt", "what `local-vault metrics` tells", metrics::text(vault)),
        Part::new("log.txt", "the last lines of the log, from info on", logs::last(&settings.ingest.socket).await),
        Part::new(
            "audit.jsonl",
            "the last 200 entries of the audit log; names are hashed by a key of this bundle alone",
            audit::last(&settings.audit.folder),
        ),
        Part::new("host.txt", "clock, disks and files", Ok(host::facts(vault))),
        Part::new(
            "store.txt",
            "the spool's tables, and a quick check of its pages",
            path.and_then(|path| store::check(&path)),
        ),
    ]
}

/// A device that hangs is no reason to go without the rest.
async fn custody(vault: Arc<Vault>, with_device: bool) -> Result<Object, Failure> {
    let report = apart("custody", move |_| custody::report(&vault, with_device));
    match timeout(PATIENCE, report).await {
        Ok(report) => report?,
        Err(_) => Err(Failure::unavailable("the device does not answer", "Look at it, and at its maker's log.")),
    }
}

async fn status(vault: &Vault) -> Result<Object, Failure> {
    match ask(&vault.settings.ingest.socket, "/v1/status").await {
        Ok(answer) => json::parse(&answer).map_err(|e| Failure::data(e.to_string(), "")),
        Err(why) => offline_status(vault, &why),
    }
}

fn config(flags: &Flags) -> Result<String, Failure> {
    let Some(path) = config_file(flags) else { return Ok("There is no config file.\n".into()) };
    let text = fs::read_to_string(&path).map_err(|e| Failure::io(&format!("cannot read {}", path.display()), &e))?;
    Ok(format!("# {}\n{}", path.display(), config::redacted(&text)))
}

fn line(object: &Object) -> String {
    object.to_python_line() + "\n"
}

/// A failure as a file tells of it.
fn told(failure: &Failure) -> String {
    failure.lines().map(|line| line + "\n").collect()
}
