mod count;
mod lines;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::failure::Failure;
use super::output::progress;
use super::stop::Stop;
use super::vault::Vault;
use crate::ingest::{Desk, Group, Ingest, Refusal, Rules};
use count::Count;
use lines::Source;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault enqueue --ndjson events.ndjson
  zcat events.ndjson.gz | local-vault enqueue --ndjson - --json
  local-vault enqueue --ndjson events.ndjson --from-line 40001

A line is one event: {\"stream_id\",\"source_ref\",\"payload\"}, or with content or payload_hash in place of the
payload to attest its hash, as the local API takes it (docs/ingest.md). What is spooled already is known, and nothing
is spooled twice, so the whole file again does no harm. Ends with 65 where a line was refused.")]
pub(super) struct EnqueueArgs {
    /// Events, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    ndjson: PathBuf,
    /// Begin with this line
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
    /// One JSON object for each line that was refused, and one for all of it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(vault: &Vault, args: EnqueueArgs) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    let source = Source::open(&args.ndjson)?;
    let bar = progress(source.length(), "enqueueing");
    let own_uid = rustix::process::geteuid().as_raw();
    let rules = Rules::of_owner(own_uid, vault.settings.audit.stream_id.clone());
    let desk = Desk { ingest: Ingest::new(vault.spool().await?, vault.audit()?), attestor: None };
    let mut desk = Arc::new(desk);
    let mut groups = source.read(args.from_line, move |line| rules.admit(own_uid, line));
    let mut count = Count::new(args.from_line - 1, args.json, bar);
    let cut = loop {
        let next = tokio::select! {
            biased;
            () = stop.asked() => break Some(stopped()),
            next = groups.recv() => next,
        };
        let (mut group, read) = match next {
            None => break None,
            Some(Err(error)) => break Some(Failure::io(&format!("cannot read {}", args.ndjson.display()), &error)),
            Some(Ok(group)) => group,
        };
        if group.is_attested() && desk.attestor.is_none() {
            match with_attestor(vault, &desk) {
                Ok(with) => desk = with,
                Err(failure) => break Some(failure),
            }
        }
        if let Some(refusal) = commit(&mut group, &desk, &mut count).await? {
            break Some(cut_by(&refusal));
        }
        count.has_read(read);
    };
    count.finish()?;
    match cut {
        None => count.verdict(),
        Some(failure) => Err(count.go_on(failure)),
    }
}

/// The refusal that ended it, where one did.
async fn commit(group: &mut Group, desk: &Arc<Desk>, count: &mut Count) -> Result<Option<Refusal>, Failure> {
    let mut settled = group.commit(desk, None).await;
    let cut = if settled.is_cut { settled.lines.pop().and_then(|(_, line)| line.err()) } else { None };
    for (number, line) in settled.lines {
        count.add(number, line.map(|placed| placed.enqueued))?;
    }
    Ok(cut)
}

/// The same desk with the key for attestations, where one is configured. Payloads alone need none.
fn with_attestor(vault: &Vault, desk: &Desk) -> Result<Arc<Desk>, Failure> {
    Ok(Arc::new(Desk { ingest: desk.ingest.clone(), attestor: vault.configured_attestor()? }))
}

fn stopped() -> Failure {
    Failure::temporary("stopped by a signal", "Nothing is lost.")
}

fn cut_by(refusal: &Refusal) -> Failure {
    let unexplained = || Failure::software(refusal.message());
    refusal.cause().cloned().map_or_else(unexplained, Failure::from)
}
