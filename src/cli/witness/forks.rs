use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::protocol::json::Value;
use crate::witness::Fork;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness forks
  local-vault witness forks --tenant t --json > forks.jsonl
  local-vault verify forks.jsonl --public-key witness=HEX --evidence

A proof holds the submitter's signature over both checkpoints: whoever has that key has shown two histories. A claim is
what this witness says that it saw. Needs no key.")]
pub(in crate::cli) struct ForksArgs {
    /// Of this tenant alone
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<String>,
    /// Behind this record, the N of an earlier list
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// One JSON object for each, with all that it takes to judge it
    #[arg(long)]
    json: bool,
}

pub(super) fn run(vault: &Vault, args: &ForksArgs) -> Result<u8, Failure> {
    let tenants = args.tenant.clone().map(|tenant| [tenant].into());
    let forks = vault.witness_reader()?.forks(tenants.as_ref(), args.after, args.limit)?;
    let output = Output::new();
    if args.json {
        for fork in &forks {
            output.json(&fork.to_object()?)?;
        }
        return Ok(0);
    }
    let rows: Vec<_> = forks.iter().map(row).collect();
    output.table(&["N", "CLASS", "FOUND", "TENANT", "STREAM", "NUMBER", "EVIDENCE"], &rows)?;
    if forks.len() == args.limit {
        let last = forks.last().map_or(0, |fork| fork.n);
        output.note(&format!("There may be more: --after {last}"));
    }
    Ok(0)
}

fn row(fork: &Fork) -> Vec<String> {
    let evidence = fork.sealed.get_object("evidence");
    let text = |member| evidence.and_then(|evidence| evidence.get_str(member)).map(printable).unwrap_or_default();
    let number = evidence.and_then(|evidence| evidence.get("submitted_checkpoint_seq_no")).and_then(Value::as_i64);
    vec![
        fork.n.to_string(),
        fork.class.name().into(),
        text("created_at"),
        text("tenant_id"),
        text("stream_id"),
        number.unwrap_or(0).to_string(),
        fork.sealed.get_str("fork_evidence_id").map(printable).unwrap_or_default(),
    ]
}
