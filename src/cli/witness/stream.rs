use clap::{Args, Subcommand};

use super::change;
use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::reason;
use crate::cli::vault::Vault;
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::witness::{Head, Submission};
use crate::witness::{Change, Stream, StreamName, WitnessError};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault witness stream add --tenant-id t --stream-id s --submitter erp --consent 'contract 17, annex B'
  local-vault witness stream list
  local-vault witness stream reoriginate --help")]
pub(in crate::cli) enum StreamCommand {
    /// Let a stream in, so that its checkpoints are witnessed
    Add(AddArgs),
    /// List the streams and how far each is
    #[command(after_help = "\
Examples:
  local-vault witness stream list
  local-vault witness stream list --json | jq -r .head.checkpoint_seq_no

Needs no key.")]
    List {
        /// One JSON object a stream
        #[arg(long)]
        json: bool,
    },
    /// Begin a stream anew behind a checkpoint, whatever was witnessed of it
    Reoriginate(ReoriginateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault witness stream add --tenant-id t --stream-id s --consent 'contract 17, annex B'
  local-vault witness stream add --tenant-id t --stream-id s --submitter erp --submitter-key HEX --consent 'ticket 42'

Who submits it and with which key is fixed with that. Without --submitter, whoever may speak for the tenant submits it.
Only with --submitter-key can fork evidence be proof.")]
pub(in crate::cli) struct AddArgs {
    /// Whose stream
    #[arg(long)]
    tenant_id: String,
    /// Which stream
    #[arg(long)]
    stream_id: String,
    /// Who alone submits it: a name of [[witness.submitters]], operator for the commands here, feed for what is followed
    #[arg(long, value_name = "NAME")]
    submitter: Option<String>,
    /// The key that each of its checkpoints is signed with
    #[arg(long, value_name = "HEX", value_parser = key)]
    submitter_key: Option<PublicKey>,
    /// Where the tenant's consent is found; it stands in the records
    #[arg(long, value_name = "REFERENCE", value_parser = reason::parse)]
    consent: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  local-vault witness stream reoriginate --tenant-id t --stream-id s --checkpoint-id c --checkpoint-seq-no 7 \\
    --checkpoint-hash HEX --allowed-by 'A. Muster, tenant' --reason 'their database was restored, ticket 17'

For a stream whose numbers jumped, or whose owner has lost its history: the next checkpoint names the one given here as
its predecessor. Numbers may be used again then, and are no fork. Every receipt and all evidence stay. It asks first.")]
pub(in crate::cli) struct ReoriginateArgs {
    /// Whose stream
    #[arg(long)]
    tenant_id: String,
    /// Which stream
    #[arg(long)]
    stream_id: String,
    /// The submitter's name for the checkpoint to go on behind
    #[arg(long)]
    checkpoint_id: String,
    /// Its number
    #[arg(long, value_name = "NUMBER")]
    checkpoint_seq_no: i64,
    /// Its hash
    #[arg(long, value_name = "HEX")]
    checkpoint_hash: String,
    /// Who allowed it
    #[arg(long, value_name = "WHO", value_parser = reason::parse)]
    allowed_by: String,
    /// Why; both stand in the records and in the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason::parse)]
    reason: String,
    /// That it is meant
    #[arg(long)]
    yes: bool,
}

fn key(text: &str) -> Result<PublicKey, String> {
    PublicKey::from_hex(text).map_err(|e| e.to_string())
}

pub(super) async fn run(vault: &Vault, command: StreamCommand) -> Result<u8, Failure> {
    match command {
        StreamCommand::Add(args) => add(vault, args).await,
        StreamCommand::List { json } => list(vault, json),
        StreamCommand::Reoriginate(args) => reoriginate(vault, args).await,
    }
}

async fn add(vault: &Vault, args: AddArgs) -> Result<u8, Failure> {
    let AddArgs { tenant_id, stream_id, submitter, submitter_key, consent } = args;
    let shown = printable(&stream_id);
    let stream = StreamName { witness_id: vault.witness_id()?.to_owned(), tenant_id, stream_id };
    change(vault, Change::AddStream { stream, submitter, submitter_key, consent }).await?;
    Output::new().line(&format!("{shown} is let in"))?;
    Ok(0)
}

fn list(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let mut streams = Vec::new();
    vault.witness_reader()?.streams(|stream| streams.push(stream))?;
    streams.sort_by(|a, b| a.name.cmp(&b.name));
    let output = Output::new();
    if json {
        streams.iter().try_for_each(|stream| output.json(&object(stream)))?;
        return Ok(0);
    }
    let rows: Vec<_> = streams.iter().map(row).collect();
    output.table(&["TENANT", "STREAM", "NUMBER", "CHECKPOINT", "ORIGIN", "SUBMITTER", "SIGNED"], &rows)?;
    Ok(0)
}

fn row(stream: &Stream) -> Vec<String> {
    let Stream { name, submitter, submitter_key, origin, head, is_floor, .. } = stream;
    let floor = if *is_floor { " (floor)" } else { "" };
    let number = head.as_ref().map_or_else(|| "none".into(), |head| format!("{}{floor}", head.checkpoint_seq_no));
    vec![
        printable(&name.tenant_id),
        printable(&name.stream_id),
        number,
        head.as_ref().map(|head| printable(&head.checkpoint_id)).unwrap_or_default(),
        origin.to_string(),
        submitter.as_deref().map_or_else(|| "any".into(), printable),
        if submitter_key.is_some() { "yes" } else { "no" }.into(),
    ]
}

fn object(stream: &Stream) -> Object {
    let Stream { name, submitter, submitter_key, origin, head, is_floor, .. } = stream;
    let head = head.as_ref().map(|head| {
        Object::new()
            .with("checkpoint_id", head.checkpoint_id.as_str())
            .with("checkpoint_seq_no", head.checkpoint_seq_no)
            .with("checkpoint_hash", head.checkpoint_hash.as_str())
    });
    Object::new()
        .with("witness_id", name.witness_id.as_str())
        .with("tenant_id", name.tenant_id.as_str())
        .with("stream_id", name.stream_id.as_str())
        .with("submitter", submitter.clone())
        .with("submitter_key_hex", submitter_key.as_ref().map(PublicKey::to_hex))
        .with("origin", *origin)
        .with("head", head)
        .with("is_floor", *is_floor)
}

async fn reoriginate(vault: &Vault, args: ReoriginateArgs) -> Result<u8, Failure> {
    let ReoriginateArgs { checkpoint_id, checkpoint_seq_no, checkpoint_hash, allowed_by, reason, yes, .. } = args;
    let (tenant_id, stream_id) = (args.tenant_id, args.stream_id);
    let stream = StreamName { witness_id: vault.witness_id()?.to_owned(), tenant_id, stream_id };
    check(&stream, &checkpoint_id, checkpoint_seq_no, &checkpoint_hash)?;
    let shown = printable(&stream.stream_id);
    let mut is_known = false;
    vault.witness_reader()?.streams(|known| is_known |= known.name == stream)?;
    if !is_known {
        let advice = "`local-vault witness stream list` names those that it knows. Nothing was changed.";
        return Err(Failure::data(format!("the witness does not know the stream {}", stream.stream_id), advice));
    }
    let what = format!("{shown} would go on behind number {checkpoint_seq_no}, whatever was witnessed of it");
    let output = Output::new();
    if !yes {
        match output.ask(&format!("What was witnessed before binds nobody any more: {what}. Go on?"))? {
            Some(true) => {}
            Some(false) => {
                output.line("nothing was changed")?;
                return Ok(0);
            }
            None => return Err(Failure::usage(what, "Numbers may be used again then. Say --yes where it is meant.")),
        }
    }
    let said = Event::incident(
        &format!("a witnessed stream begins anew: {reason} (allowed by {allowed_by})"),
        &stream.stream_id,
    );
    vault.audit()?.record(vec![said]).await?;
    let head = Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash };
    change(vault, Change::Reoriginate { stream, head, allowed_by, reason }).await?;
    output.line(&format!("{shown} goes on behind number {checkpoint_seq_no}; receipts and evidence stay"))?;
    Ok(0)
}

/// It must be a checkpoint, before anything is asked or opened.
fn check(stream: &StreamName, id: &str, number: i64, hash: &str) -> Result<(), Failure> {
    let StreamName { witness_id, tenant_id, stream_id } = stream.clone();
    let submission = Submission {
        witness_id,
        tenant_id,
        stream_id,
        checkpoint_id: id.to_owned(),
        checkpoint_seq_no: number,
        checkpoint_hash: hash.to_owned(),
        previous_checkpoint_hash: None,
    };
    Ok(submission.check().map_err(WitnessError::from)?)
}
