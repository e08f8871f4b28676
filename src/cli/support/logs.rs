use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::cli::status::ask;

/// As much as the service itself keeps.
const LINES: &str = "1000";
const BYTES: usize = 512 * 1024;

/// The last lines: of the service that runs, or else of the journal.
pub(super) async fn last(socket: &Path) -> Result<String, Failure> {
    let why = match ask(socket, "/v1/logs").await {
        Ok(lines) if lines.is_empty() => return Ok("The service has written no line since its start.\n".into()),
        Ok(lines) => return Ok(String::from_utf8_lossy(&lines).into_owned()),
        Err(why) => why,
    };
    Ok(match journal() {
        Some(lines) => format!("From the journal: {why}.\n{lines}"),
        None => format!("There are none: {why}, and the journal has no line of a unit local-vault.\n"),
    })
}

fn journal() -> Option<String> {
    let words = ["-u", "local-vault", "-p", "info", "-n", LINES, "--no-pager", "-q", "-o", "short-iso"];
    let output = Command::new("journalctl").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let from = output.stdout.len().saturating_sub(BYTES);
    let lines = String::from_utf8_lossy(&output.stdout[from..]).into_owned();
    (output.status.success() && !lines.is_empty()).then_some(lines)
}
