use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::protocol::json::{Object, Value};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness show chk_17
  local-vault witness show chk_17 --tenant t --json | local-vault verify - --public-key witness=HEX

Needs no key. Ends with 65 where there is none.")]
pub(in crate::cli) struct ShowArgs {
    /// The submitter's name for the checkpoint
    checkpoint_id: String,
    /// Of this tenant alone
    #[arg(long, value_name = "TENANT_ID")]
    tenant: Option<String>,
    /// The receipts as they were signed, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(vault: &Vault, args: &ShowArgs) -> Result<u8, Failure> {
    let tenants = args.tenant.clone().map(|tenant| [tenant].into());
    let receipts = vault.witness_reader()?.checkpoint(tenants.as_ref(), &args.checkpoint_id)?;
    if receipts.is_empty() {
        return Err(Failure::data(
            format!("there is no receipt for the checkpoint {}", args.checkpoint_id),
            "`local-vault witness stream list` shows how far each stream is.",
        ));
    }
    let output = Output::new();
    if args.json {
        receipts.iter().try_for_each(|receipt| output.json(receipt))?;
        return Ok(0);
    }
    let rows: Vec<_> = receipts.iter().map(row).collect();
    output.table(&["TENANT", "STREAM", "NUMBER", "ACCEPTED", "KEY", "RECEIPT", "CHECKPOINT HASH"], &rows)?;
    Ok(0)
}

fn row(receipt: &Object) -> Vec<String> {
    let statement = receipt.get_object("statement");
    let text = |member| statement.and_then(|statement| statement.get_str(member)).map(printable).unwrap_or_default();
    let number = receipt.get("checkpoint_seq_no").and_then(Value::as_i64).unwrap_or(0);
    vec![
        text("tenant_id"),
        text("stream_id"),
        number.to_string(),
        text("accepted_at"),
        text("key_epoch"),
        receipt.get_str("witness_receipt_id").map(printable).unwrap_or_default(),
        text("checkpoint_hash"),
    ]
}
