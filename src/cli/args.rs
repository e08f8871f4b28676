use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::attest::AttestArgs;
use super::attestation::AttestationCommand;
use super::audit::AuditCommand;
use super::completions::CompletionsArgs;
use super::config::ConfigCommand;
use super::custody::CustodyCommand;
use super::enqueue::EnqueueArgs;
use super::maintenance::MaintenanceCommand;
use super::metrics::MetricsArgs;
use super::published::drain::{DrainLoopArgs, DrainOnceArgs};
use super::published::enqueue::EnqueueJsonArgs;
use super::published::keys::SigningKeyArgs;
use super::published::witness::CheckpointArgs;
use super::quorum::QuorumCommand;
use super::receipt::ReceiptCommand;
use super::relay::RelayCommand;
use super::spool::SpoolCommand;
use super::status::StatusArgs;
use super::support::SupportArgs;
use super::verify::VerifyArgs;
use super::witness::WitnessCommand;
use crate::config::{Flags, LogFormat, LogLevel};

/// Signs source attestations with keys held in custody, keeps them in an encrypted spool through outages, relays
/// them outbound only, and believes nothing but a matching receipt.
#[derive(Debug, Parser)]
#[command(name = "local-vault", version, infer_long_args = true, args_override_self = true, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
    /// Whether the command is one of the published package, whose output and exit codes are a contract.
    #[arg(skip)]
    pub(super) is_published: bool,
}

const EXAMPLES: &str = "\
Examples:
  local-vault config example > local-vault.toml       begin with a commented config file
  local-vault attest docs/ --stream-id str_docs       attest every file in a folder
  local-vault relay drain                             send what is spooled, until all of it is settled
  local-vault receipt show --all                      what the receiver has acknowledged
  local-vault enqueue-json --stream-id s --source-ref r --payload-file p.json

Exit codes: 0 done; 64 usage; 65 data does not verify; 69 device or receiver away; 70 a defect; 74 a file or the disk
failed; 75 locked or full, try again; 77 refused; 78 configuration. The published commands (enqueue-json, drain-once,
drain-loop, witness-checkpoint, witness-counts, generate-…) keep theirs: 1 for any failure, 2 for usage.";

impl Cli {
    /// Reads the command line, and the variables that stand for flags.
    pub(super) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = Self::command().mut_args(without_empty_variable);
        let matches = command.try_get_matches_from_mut(arguments)?;
        let cli = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        Ok(Self { is_published: matches.subcommand_name().is_some_and(|name| PUBLISHED.contains(&name)), ..cli })
    }
}

/// An empty variable counts as none, as in the published package.
fn without_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::Reset) } else { arg }
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Config file [default: $ATTESTO_LOCAL_VAULT_CONFIG, local-vault.toml in the config dir, or in /etc/attesto]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Spool [default: local-vault-spool.sqlite3]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) spool_db: Option<PathBuf>,
    /// Witness database [default: local-vault-witness.sqlite3]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) witness_db: Option<PathBuf>,
    /// Log from this level on [default: log.level of the config file, or warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "ATTESTO_LOCAL_VAULT_LOG")]
    pub(super) log: Option<LogLevel>,
    /// How the log is written [default: log.format of the config file; journald where standard error is the journal, or
    /// text]
    #[arg(long, global = true, value_name = "FORMAT", env = "ATTESTO_LOCAL_VAULT_LOG_FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve: take events in over a local socket and relay them, for as long as it runs
    #[command(after_help = RUN)]
    Run,
    /// Show how the service is
    Status(StatusArgs),
    /// Take nothing new for a while, and relay what waits
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Attest files: sign their hashes and spool the attestations
    Attest(AttestArgs),
    /// Spool events from a file or a pipe, one JSON object a line
    Enqueue(EnqueueArgs),
    /// Send what is spooled, look at the relay, hold it back
    #[command(subcommand)]
    Relay(RelayCommand),
    /// Look into the spool, rotate its key, import a published one
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Show receipts
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Verify receipts, attestations, witness receipts and fork evidence with public keys alone
    Verify(VerifyArgs),
    /// Judge whether enough witnesses agree on a checkpoint
    #[command(subcommand)]
    Quorum(QuorumCommand),
    /// Report on the keys
    #[command(subcommand)]
    Custody(CustodyCommand),
    /// Show what keeps the relay key: make a record, look at it, register it
    #[command(subcommand)]
    Attestation(AttestationCommand),
    /// Verify and show the audit log: who asked for what, and what keys were used for
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Witness checkpoints, show what was signed, let streams in, go on with another key
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Check the configuration, or print an example
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tell a monitoring system how the spool and the relay are
    Metrics(MetricsArgs),
    /// Gather what helps others to help, without secrets, in a tar file
    SupportBundle(SupportArgs),
    /// Print tab completion for a shell
    Completions(CompletionsArgs),
    /// [published] Print a new encryption key
    #[command(after_help = "\
Example:
  umask 077; local-vault generate-encryption-key > encryption.key")]
    GenerateEncryptionKey,
    /// [published] Write a new signing key to a file
    GenerateSigningKey(SigningKeyArgs),
    /// [published] Spool a JSON payload
    EnqueueJson(EnqueueJsonArgs),
    /// [published] Send one event
    DrainOnce(DrainOnceArgs),
    /// [published] Send events for as long as it runs
    DrainLoop(DrainLoopArgs),
    /// [published] Witness a checkpoint
    #[command(after_help = "\
Example:
  local-vault witness-checkpoint --tenant-id t --stream-id s --checkpoint-id c \\
    --checkpoint-seq-no 1 --checkpoint-hash HEX")]
    WitnessCheckpoint(CheckpointArgs),
    /// [published] Count what the witness has signed
    #[command(after_help = "\
Example:
  local-vault witness-counts --witness-db local-vault-witness.sqlite3")]
    WitnessCounts,
}

const RUN: &str = "\
Examples:
  local-vault run                     as a service; docs/local-vault.service is a unit for systemd
  local-vault status                  how it is, from another terminal

SIGTERM ends it: requests are answered and sends settled, for run.drain_seconds at most; a second one ends it at once.
SIGHUP reads the config file again. SIGUSR1 changes between the configured log level and debug.";

const PUBLISHED: [&str; 9] = [
    "doctor",
    "drain-loop",
    "drain-once",
    "enqueue-json",
    "generate-encryption-key",
    "generate-signing-key",
    "init",
    "witness-checkpoint",
    "witness-counts",
];

/// Whether a command line that does not parse was meant for a command of the published package: the first word that
/// names any command is one of its.
pub(super) fn is_published(arguments: &[OsString]) -> bool {
    let command = Cli::command();
    let published = |word: &str| PUBLISHED.contains(&word);
    let names_one = |word: &&str| published(word) || command.find_subcommand(word).is_some();
    arguments.iter().skip(1).filter_map(|word| word.to_str()).find(names_one).is_some_and(published)
}

impl Command {
    /// What the flags say about settings.
    pub(super) fn flags(&self, global: &Global) -> Flags {
        let flags = Flags {
            config: global.config.clone(),
            spool_db: global.spool_db.clone(),
            witness_db: global.witness_db.clone(),
            log: global.log,
            log_format: global.log_format,
            ..Flags::default()
        };
        match self {
            Self::DrainOnce(args) => args.destination.flags(flags),
            Self::DrainLoop(args) => args.destination.flags(flags),
            Self::WitnessCheckpoint(args) => {
                Flags { witness_id: args.witness_id.clone(), witness_key_id: args.key_id.clone(), ..flags }
            }
            Self::Run => Flags { is_service: true, ..flags },
            _ => flags,
        }
    }
}
