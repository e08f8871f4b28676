use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::failure::Failure;
use crate::cli::status::ask;
use crate::facts::Timestamp;
use crate::protocol::json::{self, Object};

/// As much as the service itself keeps.
const LINES: usize = 1000;
const BYTES: usize = 512 * 1024;

/// Entries of the journal that are looked at. Not all are lines of ours, or from info on.
const ENTRIES: &str = "5000";

/// What a line of ours begins its target with.
const OURS: &str = "local_vault";

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
    let words = ["-u", "local-vault", "-p", "info", "-n", ENTRIES, "--no-pager", "-q", "-o", "json"];
    let output = Command::new("journalctl").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let lines = told(&output.stdout);
    (output.status.success() && !lines.is_empty()).then_some(lines)
}

/// The last lines of ours from info on, out of entries of the journal. What a library or a child wrote is left out, and
/// so is what a level below names.
fn told(entries: &[u8]) -> String {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for entry in entries.rsplit(|&c| c == b'\n') {
        let Some(line) = json::parse(entry).ok().and_then(|entry| line(&entry)) else { continue };
        bytes += line.len();
        if lines.len() == LINES || bytes > BYTES {
            break;
        }
        lines.push(line);
    }
    lines.into_iter().rev().collect()
}

/// As standard error had it, or as it would have been there.
fn line(entry: &Object) -> Option<String> {
    let message = entry.get_str("MESSAGE")?;
    if entry.get_str("_TRANSPORT") != Some("journal") {
        return is_ours(message).then(|| format!("{message}\n"));
    }
    let target = entry.get_str("TARGET").filter(|target| target.starts_with(OURS))?;
    // As tracing-journald numbers them: what syslog calls info is our debug.
    let level = match entry.get_str("PRIORITY")? {
        "3" => "ERROR",
        "4" => "WARN",
        "5" => "INFO",
        _ => return None,
    };
    let micros: i64 = entry.get_str("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let time = Timestamp::from_millis(micros / 1000);
    let fields = entry.iter().filter_map(|(name, value)| Some((name.strip_prefix("F_")?, value.as_str()?)));
    let fields: String = fields.map(|(name, value)| format!(" {}={value:?}", name.to_lowercase())).collect();
    Some(format!("{time} {level} {target}: {message:?}{fields}\n"))
}

/// Whether a line of standard error is one of ours, from info on. It names its level, and then its target behind spans.
fn is_ours(line: &str) -> bool {
    const LEVELS: [&str; 3] = ["ERROR", "INFO", "WARN"];
    if let Ok(line) = json::parse(line.as_bytes()) {
        let is_ours = line.get_str("target").is_some_and(|target| target.starts_with(OURS));
        return is_ours && line.get_str("level").is_some_and(|level| LEVELS.contains(&level));
    }
    let Some((time, rest)) = line.split_once(' ') else { return false };
    let Some((level, rest)) = rest.trim_start().split_once(' ') else { return false };
    let is_time = time.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with('Z');
    is_time && LEVELS.contains(&level) && (rest.starts_with(OURS) || rest.contains(&format!(": {OURS}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> Object {
        Object::new().with("MESSAGE", line).with("PRIORITY", "6").with("_TRANSPORT", "stdout")
    }

    fn sent(priority: &str, target: &str) -> Object {
        let entry = Object::new().with("MESSAGE", "receipted").with("PRIORITY", priority).with("_TRANSPORT", "journal");
        let entry = entry.with("__REALTIME_TIMESTAMP", "1700000000000000").with("F_EVENT", "lv_1");
        entry.with("CODE_FILE", "a.rs").with("TARGET", target)
    }

    #[test]
    fn lines_of_ours_from_info_on_are_told() {
        for line in [
            "2026-03-01T09:00:00.000000Z  INFO send{event=lv_1 request=\"lv_1.2\"}: local_vault::relay::log: receipted",
            "2026-03-01T09:00:00.000000Z ERROR local_vault::cli: the disk failed",
            r#"{"timestamp":"t","level":"WARN","fields":{"message":"m"},"target":"local_vault::cli"}"#,
        ] {
            assert_eq!(super::line(&written(line)).as_deref(), Some(format!("{line}\n").as_str()));
        }
        assert_eq!(
            line(&sent("5", "local_vault::relay")).as_deref(),
            Some("2023-11-14T22:13:20.000Z INFO local_vault::relay: \"receipted\" event=\"lv_1\"\n")
        );
    }

    #[test]
    fn lines_below_info_and_of_others_are_not() {
        for line in [
            "2026-03-01T09:00:00.000000Z DEBUG send{event=lv_1}: local_vault::relay::log: posted stream=\"invoices\"",
            "2026-03-01T09:00:00.000000Z  INFO hyper::client: s3cret",
            "Started local-vault.service.",
            "the module says s3cret",
            r#"{"timestamp":"t","level":"DEBUG","fields":{"message":"m"},"target":"local_vault::cli"}"#,
            r#"{"timestamp":"t","level":"INFO","fields":{"message":"m"},"target":"reqwest"}"#,
        ] {
            assert_eq!(super::line(&written(line)), None, "{line}");
        }
        assert_eq!(line(&sent("6", "local_vault::relay")), None);
        assert_eq!(line(&sent("5", "hyper")), None);
    }

    #[test]
    fn the_last_lines_are_told_in_order() {
        let line = |n: usize| format!("2026-03-01T09:00:00.000000Z  INFO local_vault::cli: {n}");
        let entries: Vec<String> = (0..LINES + 2).map(|n| written(&line(n)).to_python_line()).collect();
        let told = told(entries.join("\n").as_bytes());
        assert_eq!(told.lines().count(), LINES);
        assert!(told.starts_with(&line(2)) && told.ends_with(&(line(LINES + 1) + "\n")), "{told}");
    }
}
