use clap::Args;

use super::integer::integer;
use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::cli::witness_socket;
use crate::config::OPERATOR;
use crate::protocol::json::Object;
use crate::protocol::witness::Submission;
use crate::witness::{Desk, Request, Verdict, WitnessError};

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
    let submission = Submission {
        witness_id: vault.witness_id()?.to_owned(),
        tenant_id: args.tenant_id,
        stream_id: args.stream_id,
        checkpoint_id: args.checkpoint_id,
        checkpoint_seq_no: args.checkpoint_seq_no,
        checkpoint_hash: args.checkpoint_hash,
        previous_checkpoint_hash: args.previous_checkpoint_hash,
    };
    // Before anything is opened: such input changes nothing.
    submission.check().map_err(WitnessError::from)?;
    let verdict = submit(&vault, Request::new(submission, OPERATOR)).await?;
    Output::new().json(&verdict.to_object())?;
    Ok(0)
}

/// Submits one checkpoint: to the service that has the state open, or to the state at hand.
pub(in crate::cli) async fn submit(vault: &Vault, request: Request) -> Result<Verdict, Failure> {
    warn(vault);
    let submission = request.submission.clone();
    // A service that has it keeps it: nobody waits for that in vain.
    if let Some(verdict) = witness_socket::submit(vault, &request).await? {
        return Ok(verdict);
    }
    let witness = vault.witness().await?;
    let signer = witness.signer().cloned();
    let (desk, closing) = Desk::start(witness)?;
    let verdict = desk.submit(request).await;
    closing.close(desk).await;
    let verdict = match verdict {
        Err(WitnessError::Incident(incident)) => return Err(vault.tell_incident(&incident, signer.as_ref()).await),
        verdict => verdict?,
    };
    vault.audit()?.note(Event::checkpoint(
        verdict.name(),
        &submission.tenant_id,
        &submission.stream_id,
        submission.checkpoint_seq_no,
    ));
    Ok(verdict)
}

/// One line, whatever there is to warn of.
fn warn(vault: &Vault) {
    match (vault.settings.custody.published_signing_key, vault.settings.witness.first_use) {
        (true, true) => tracing::warn!(
            "one key signs for relay and witness, and a new stream is trusted on first use; a config file can say otherwise"
        ),
        (true, false) => tracing::warn!("one key signs for relay and witness; a config file can name a key for each"),
        (false, true) => tracing::warn!("a new stream is trusted on first use"),
        (false, false) => {}
    }
}

pub(in crate::cli) fn counts(vault: &Vault) -> Result<u8, Failure> {
    let counts = vault.witness_counts()?;
    Output::new().json(&Object::new().with("forks", counts.forks).with("receipts", counts.receipts))?;
    Ok(0)
}
