//! Where a PIN comes from, as each device's section says it.

use std::path::Path;

use super::reader::Section;
use crate::custody::PinSource;

const NAMES: [&str; 5] = ["pin_file", "pin_credential", "pin_command", "pin_env", "pin_prompt"];

/// Whether any source is named.
#[cfg(feature = "tpm")]
pub(super) fn is_named(section: &Section<'_>) -> bool {
    NAMES.iter().any(|key| section.has(key))
}

/// Exactly one source: with two, which of them was refused would be a riddle.
pub(super) fn read(section: &mut Section<'_>, folder: &Path) -> Option<PinSource> {
    let count = NAMES.iter().filter(|key| section.has(key)).count();
    if count != 1 {
        let all = NAMES.join(", ");
        section.problem(&format!("needs one source of the PIN ({all}), and names {count}"));
    }
    let file = section.path("pin_file", folder).map(PinSource::File);
    let credential = section.parsed("pin_credential", "the name of a credential", |name| {
        (!name.is_empty() && !name.contains('/')).then(|| PinSource::Credential(name.to_owned()))
    });
    // Named in full: whoever sets PATH would else choose the program.
    let command = section.list("pin_command", "a program and its arguments", |word| Some(word.to_owned()));
    if command.as_ref().is_some_and(|words| !words.first().is_some_and(|program| program.starts_with('/'))) {
        section.problem("names a pin_command that does not begin with the full path of a program");
    }
    let command = command.map(PinSource::Command);
    let environment = section.text("pin_env").map(PinSource::Environment);
    let prompt = section.flag("pin_prompt").map(|()| PinSource::Prompt);
    file.or(credential).or(command).or(environment).or(prompt)
}
