use crate::audit::Event;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;

/// Lets a stopped stream go on. Why stands in the audit log before it does.
pub(super) async fn run(vault: &Vault, stream: &str, reason: &str) -> Result<u8, Failure> {
    if !vault.reader()?.stopped()?.iter().any(|stopped| stopped.stream_id == stream) {
        return Err(not_stopped(stream));
    }
    let released = Event::incident(&format!("a stopped stream is released: {reason}"), stream);
    vault.audit()?.record(vec![released]).await?;
    if !vault.control()?.release(stream).await? {
        return Err(not_stopped(stream)); // somebody else was faster
    }
    Output::new().line(&format!("{} goes on; both receipts stay", printable(stream)))?;
    Ok(0)
}

fn not_stopped(stream: &str) -> Failure {
    let advice = "`local-vault spool stats` names the streams that are. Nothing was changed.";
    Failure::data(format!("the stream {stream} is not stopped"), advice)
}
