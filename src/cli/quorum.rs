mod given;
mod tell;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::moment::Moment;
use crate::facts::{Clock as _, Digest, SystemClock};
use crate::protocol::PublicKey;
use crate::protocol::quorum::{Policy, verify};
use given::{Given, read_policy};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  local-vault quorum verify --policy policy.json --statements w1.jsonl w2.jsonl --evidence forks.jsonl")]
pub(super) enum QuorumCommand {
    /// Verify that enough witnesses agree on a checkpoint, with public keys alone
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault quorum verify --policy policy.json --statements w1.jsonl w2.jsonl w3.jsonl \\
    --witness-key attesto-managed=HEX --witness-key customer-local-vault=HEX --witness-key assurance-witness=HEX
  cat w*.jsonl | local-vault quorum verify --policy policy.json --statements - --evidence forks.jsonl --json
  local-vault quorum verify --policy policy.json --statements all.jsonl --checkpoint HEX --at 2026-01-31T12:00:00Z

Ends with 0 where the quorum is reached, and with 65 elsewhere: it is not reached; something cannot be read; or it is
refused, since the stream's history is ambiguous (fork evidence, or two hashes for one number), which more witnesses
do not change. The last line says which.")]
pub(super) struct VerifyArgs {
    /// How many witnesses have to agree, and which ones count: JSON
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// What witnesses gave: JSON or JSON lines, as receipts or as `witness-checkpoint` prints them; - for standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    statements: Vec<PathBuf>,
    /// Fork evidence of witnesses, in the same forms; either flag takes both
    #[arg(long, value_name = "FILE", num_args = 1..)]
    evidence: Vec<PathBuf>,
    /// A key of a witness of the policy, by name; several of one witness where its key changed
    #[arg(long = "witness-key", value_name = "NAME=HEX", value_parser = witness_key)]
    keys: Vec<(String, PublicKey)>,
    /// The hash of the checkpoint in question [default: the one that all statements are about]
    #[arg(long, value_name = "HASH")]
    checkpoint: Option<Digest>,
    /// As of this time, or so long ago (2h, 7d), for the maximum age [default: now]
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    at: Option<Moment>,
    /// One JSON object each, the verdict last
    #[arg(long)]
    json: bool,
}

fn witness_key(text: &str) -> Result<(String, PublicKey), String> {
    // A name may hold a sign of equality, and hex does not.
    let (name, hex) = text.rsplit_once('=').ok_or("expected NAME=HEX")?;
    Ok((name.to_owned(), PublicKey::from_hex(hex).map_err(|e| e.to_string())?))
}

pub(super) fn run(command: QuorumCommand) -> Result<u8, Failure> {
    let QuorumCommand::Verify(args) = command;
    let now = SystemClock.now();
    let now = args.at.map_or(now, |moment| moment.at(now));
    let policy = read_policy(&args.policy)?;
    let policy = Policy::from_object(&policy, &args.keys).map_err(|e| {
        let advice = "Nothing was verified. Mend the policy, or give each key with --witness-key NAME=HEX.";
        Failure::data(format!("{}: {e}", args.policy.display()), advice)
    })?;
    let mut given = Given::default();
    for file in args.statements.iter().chain(&args.evidence) {
        given.read(file)?;
    }
    let statements: Vec<_> = given.statements.iter().map(|(_, object)| object.clone()).collect();
    let evidence: Vec<_> = given.evidence.iter().map(|(_, object)| object.clone()).collect();
    let report = verify(&policy, args.checkpoint.as_ref(), &statements, &evidence, now);
    tell::tell(&policy, &given, &report, args.json)?;
    tell::end(&report)
}
