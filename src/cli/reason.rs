//! Why an operator does something. Whoever reads the audit log later wants to know.

/// It stands in an entry, which has one line.
const LONGEST: usize = 1000;

/// Reads a reason from the command line.
pub(super) fn parse(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why: whoever reads the log later wants to know".into()),
        text if text.len() > LONGEST => Err(format!("at most {LONGEST} bytes")),
        text => Ok(text.to_owned()),
    }
}
