use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::cli::failure::Failure;
use crate::protocol::json::{self, MAX_BYTES, Object};
use crate::protocol::quorum::Presented;
use crate::protocol::witness::Rollover;

/// What witnesses gave, each with the place where it was found.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) statements: Vec<(String, Object)>,
    pub(super) evidence: Vec<(String, Object)>,
}

impl Given {
    /// Takes in a file: one object on as many lines as it likes, or one on each line.
    ///
    /// What cannot be read ends it all, since it may have been the evidence that refuses.
    pub(super) fn read(&mut self, file: &Path) -> Result<(), Failure> {
        let shown = file.display();
        let bytes = read(file)?;
        if let Ok(object) = json::parse(&bytes) {
            return self.take(&format!("{shown}"), &object);
        }
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let place = format!("{shown}:{number}");
            let object = json::parse(line).map_err(|e| unreadable(&place, &e.to_string()))?;
            self.take(&place, &object)?;
        }
        Ok(())
    }

    fn take(&mut self, place: &str, object: &Object) -> Result<(), Failure> {
        let all = Presented::all_in(object);
        // `witness export` begins with those. Whose keys count, the policy says alone.
        if all.is_empty() && Rollover::is_one(object) {
            return Ok(());
        }
        if all.is_empty() {
            return Err(unreadable(place, "it is neither a receipt nor fork evidence of a witness"));
        }
        for presented in all {
            match presented {
                Presented::Evidence(object) => self.evidence.push((place.to_owned(), object)),
                Presented::Statement(object) => self.statements.push((place.to_owned(), object)),
            }
        }
        Ok(())
    }
}

/// Reads a policy's object.
pub(super) fn read_policy(file: &Path) -> Result<Object, Failure> {
    let refused = |e| Failure::data(format!("{}: {e}", file.display()), "Nothing was verified. Mend the policy.");
    json::parse(&read(file)?).map_err(refused)
}

fn unreadable(place: &str, why: &str) -> Failure {
    let advice = "Nothing was verified: it may have been evidence of a fork. Mend the line, or leave the file out.";
    Failure::data(format!("{place}: {why}"), advice)
}

/// Larger than what the witnesses of one checkpoint give: some ten thousand receipts.
const MAX_FILE: usize = MAX_BYTES;

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| Failure::io(&format!("cannot read {}", file.display()), &e))?;
    if bytes.len() > MAX_FILE {
        let message = format!("{} is larger than {} MiB", file.display(), MAX_FILE / 1024 / 1024);
        return Err(Failure::data(message, "Nothing was verified. Give what is about one stream."));
    }
    Ok(bytes)
}
