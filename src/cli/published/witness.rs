use clap::Args;

use super::integer::integer;
use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::{Vault, required};
use crate::custody::Purpose;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::Submission;
use crate::witness::Verdict;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckpointArgs {
    /// Who witnesses: the installation id
    #[arg(long)]
    pub(in crate::cli) witness_id: Option<String>,
    /// The name under which the platform knows the signing key
    #[arg(long)]
    pub(in crate::cli) key_id: Option<String>,
    /// Whose stream
    #[arg(long, allow_negative_numbers = true)]
    tenant_id: String,
    /// Which stream
    #[arg(long, allow_negative_numbers = true)]
    stream_id: String,
    /// The submitter's name for the checkpoint
    #[arg(long, allow_negative_numbers = true)]
    checkpoint_id: String,
    /// The checkpoint's number, from 1
    #[arg(long, value_parser = number, allow_negative_numbers = true)]
    checkpoint_seq_no: i64,
    /// The checkpoint's hash, 64 lower-case hex digits
    #[arg(long)]
    checkpoint_hash: String,
    /// The hash of the checkpoint before it
    #[arg(long)]
    previous_checkpoint_hash: Option<String>,
}

/// What does not fit is no checkpoint number: 0 stands for it, and is refused as such.
fn number(text: &str) -> Result<i64, String> {
    Ok(i64::try_from(integer(text)?).unwrap_or(0))
}

pub(in crate::cli) async fn checkpoint(vault: Vault, args: CheckpointArgs) -> Result<u8, Failure> {
    let witness_id = required(vault.settings.witness_id.as_deref(), "witness id", "WITNESS_ID", "installation.id")?;
    let submission = Submission {
        witness_id: witness_id.to_owned(),
        tenant_id: args.tenant_id,
        stream_id: args.stream_id,
        checkpoint_id: args.checkpoint_id,
        checkpoint_seq_no: args.checkpoint_seq_no,
        checkpoint_hash: args.checkpoint_hash,
        previous_checkpoint_hash: args.previous_checkpoint_hash,
    };
    let signer = vault.signer(Purpose::Witness)?;
    if vault.settings.custody.published_signing_key {
        tracing::warn!("one key signs for relay and witness; a config file can name a key for each");
    }
    let verdict = vault.witness()?.accept(&submission, &signer, vault.clock.now()).await?;
    vault.audit()?.note(Event::checkpoint(
        match &verdict {
            Verdict::Accepted(_) => "accepted",
            Verdict::Replayed(_) => "replayed",
            Verdict::Forked(_) => "forked",
        },
        &submission.tenant_id,
        &submission.stream_id,
        submission.checkpoint_seq_no,
    ));
    let (accepted, replayed) = (!matches!(verdict, Verdict::Forked(_)), matches!(verdict, Verdict::Replayed(_)));
    let (receipt, evidence) = match verdict {
        Verdict::Accepted(receipt) | Verdict::Replayed(receipt) => (receipt.into(), Value::Null),
        Verdict::Forked(evidence) => (Value::Null, evidence.into()),
    };
    let line = Object::new()
        .with("accepted", accepted)
        .with("replayed", replayed)
        .with("receipt", receipt)
        .with("forkEvidence", evidence);
    Output::new().json(&line)?;
    Ok(0)
}

pub(in crate::cli) fn counts(vault: &Vault) -> Result<u8, Failure> {
    let counts = vault.witness()?.counts()?;
    Output::new().json(&Object::new().with("forks", counts.forks).with("receipts", counts.receipts))?;
    Ok(0)
}
