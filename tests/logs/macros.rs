//! Reads as much of Rust as it takes to see what is logged.

/// A line of the log as the source has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: String,
    pub(super) message: String,
    pub(super) fields: Vec<String>,
}

const MACROS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Every line that a source file logs, or what is wrong with one.
pub(super) fn lines_of(text: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at + "tracing::".len()..];
        if rest.starts_with("event!") {
            return Err("tracing::event! has no level of its own".into());
        }
        let Some(level) = MACROS.into_iter().find(|level| rest.starts_with(&format!("{level}!("))) else { continue };
        lines.push(line(level, &arguments(&rest[level.len() + 2..])?)?);
    }
    Ok(lines)
}

/// Whether a file uses a macro of the log without `tracing::` in front.
pub(super) fn unqualified(text: &str) -> bool {
    let calls = MACROS.into_iter().map(|level| format!("{level}!("));
    calls.into_iter().any(|call| {
        text.match_indices(&call).any(|(at, _)| {
            let before = &text[..at];
            !before.ends_with("tracing::") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    })
}

fn line(level: &str, arguments: &[String]) -> Result<Line, String> {
    let (message, fields) = arguments.split_last().ok_or("a line without a message")?;
    let message = message.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let message = message.ok_or_else(|| format!("the message comes last, and is fixed text: {arguments:?}"))?;
    if message.contains(['{', '\\']) {
        return Err(format!("what varies belongs in a field: {message}"));
    }
    let name = |field: &String| {
        let name = field.split('=').next().unwrap_or_default();
        name.trim().trim_start_matches(['%', '?']).to_owned()
    };
    Ok(Line { level: level.to_owned(), message: message.to_owned(), fields: fields.iter().map(name).collect() })
}

/// The arguments of a call, up to its closing bracket.
fn arguments(text: &str) -> Result<Vec<String>, String> {
    let (mut arguments, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => {
                let arguments = arguments.iter().map(|argument| argument.trim().to_owned());
                return Ok(arguments.filter(|argument| !argument.is_empty()).collect());
            }
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        arguments.last_mut().ok_or("no argument")?.push(c);
    }
    Err("a call without an end".into())
}

mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_with_its_level_its_fields_and_its_message() {
        let text = r#"tracing::warn!(%until, error = f(a, "b)"), token = self.name(), "gone; (looking)",); x"#;
        let line = Line {
            level: "warn".into(),
            message: "gone; (looking)".into(),
            fields: vec!["until".into(), "error".into(), "token".into()],
        };
        assert_eq!(lines_of(text), Ok(vec![line]));
        assert_eq!(lines_of("tracing::Span::current(); tracing::error_span!(\"x\")"), Ok(Vec::new()));
    }

    #[test]
    fn a_message_that_varies_is_refused() {
        for call in ["info!(\"sent {n}\")", "info!(message)", "info!(\"sent {}\", n)", "event!(level, \"x\")"] {
            assert!(lines_of(&format!("tracing::{call}")).is_err(), "{call}");
        }
    }

    #[test]
    fn an_import_hides_nothing() {
        assert!(unqualified("use tracing::info; fn f() { info!(\"x\") }"));
        assert!(!unqualified("fn f() { tracing::info!(\"x\"); my_info!(1) }"));
    }
}
