use std::path::PathBuf;

use clap::Args;

use super::{changed, files, known, unread};
use crate::audit::{self, Finding, KnownHead, Verified, VerifyError};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable, progress};
use crate::cli::vault::Vault;
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use known::Held;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault audit verify
  local-vault audit verify --path copy-of-the-log --public-key HEX --head \"$(cat noted-head)\"
  local-vault audit verify --json | jq .unsigned

The record key that is configured is trusted, where no --public-key is given; where neither is known, every key that
signed a head is believed, and named. Ends with 65 and the first entry that is not as it was written.")]
pub(in crate::cli) struct VerifyArgs {
    /// A log, or a copy of one [default: audit.path, or SPOOL.audit]
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// A key that may sign heads; each that ever did
    #[arg(long = "public-key", value_name = "HEX", value_parser = public_key)]
    keys: Vec<PublicKey>,
    /// A head that somebody else holds; those that the platform has acknowledged are known without
    #[arg(long = "head", value_name = "LOG:SEQ:HASH", value_parser = known::parse)]
    heads: Vec<KnownHead>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn public_key(hex: &str) -> Result<PublicKey, String> {
    PublicKey::from_hex(hex).map_err(|e| e.to_string())
}

/// What is verified against what.
struct Question {
    folder: PathBuf,
    trusted: Vec<PublicKey>,
    known: Vec<KnownHead>,
}

/// What came out.
struct Answer {
    question: Question,
    verified: Verified,
    held: Held,
}

pub(super) fn run(load: impl FnOnce() -> Result<Vault, Failure>, args: &VerifyArgs) -> Result<u8, Failure> {
    let question = question(load, args)?;
    let files = files(&question.folder)?;
    let total = files.iter().filter_map(|file| file.path.metadata().ok()).map(|meta| meta.len()).sum();
    let bar = progress(total, "verifying");
    let verified = audit::verify(&question.folder, &question.trusted, &question.known, &mut |read| bar.inc(read));
    bar.finish_and_clear();
    let verified = verified.map_err(|e| tell(e, args.json))?;
    let held = known::judge(&question.folder, &verified, &question.known).map_err(unread)?;
    let answer = Answer { question, verified, held };
    match answer.foreign() {
        Some(what) => Err(tell(VerifyError::Found(answer.found(what)), args.json)),
        None => show(&answer, args.json).map(|()| 0),
    }
}

/// What is known, from the command line and the configuration. A log that is named needs no configuration, and is not
/// the one whose heads the platform has.
fn question(load: impl FnOnce() -> Result<Vault, Failure>, args: &VerifyArgs) -> Result<Question, Failure> {
    let mut known = args.heads.clone();
    let (folder, vault) = match &args.path {
        Some(path) => (path.clone(), load().ok()),
        None => {
            let vault = load()?;
            known.extend(known::acknowledged(&vault)?);
            (vault.settings.audit.folder.clone(), Some(vault))
        }
    };
    known.sort_by(|a, b| (&a.log_id, a.seq, a.hash.as_bytes()).cmp(&(&b.log_id, b.seq, b.hash.as_bytes())));
    known.dedup();
    let trusted = match vault {
        Some(vault) if args.keys.is_empty() => vault.record_public_key()?.into_iter().collect(),
        _ => args.keys.clone(),
    };
    Ok(Question { folder, trusted, known })
}

/// A log that does not verify, or was not read.
fn tell(error: VerifyError, json: bool) -> Failure {
    let found = match error {
        VerifyError::Unread(e) => return unread(e),
        VerifyError::Found(found) => found,
    };
    if json {
        let Finding { path, line, seq, what } = &found;
        let object = Object::new().with("verified", false).with("path", path.display().to_string());
        let object = object.with("line", *line).with("seq", *seq).with("what", what.as_str());
        if let Err(failure) = Output::new().json(&object) {
            return failure;
        }
    }
    changed(&format!("the audit log was changed: entry {}, {found}", found.seq))
}

impl Answer {
    /// What is wrong where somebody holds heads of a log that is not here.
    fn foreign(&self) -> Option<String> {
        let foreign = list(&self.held.foreign);
        let here = &self.verified.log_id;
        (!foreign.is_empty()).then(|| {
            format!("somebody else holds heads of {foreign}, and the log here is {here}, which does not name it")
        })
    }

    fn found(&self, what: String) -> Finding {
        Finding { path: self.question.folder.clone(), line: None, seq: 1, what }
    }

    fn is_believed(&self) -> bool {
        self.question.trusted.is_empty() && !self.verified.keys.is_empty()
    }

    /// Entries that no head covers.
    fn unsigned(&self) -> u64 {
        self.verified.last - self.verified.signed.map_or(self.verified.first - 1, |(seq, _)| seq)
    }

    fn object(&self) -> Object {
        let Verified { log_id, first, last, hash, heads, signed, keys, known, has_note, torn } = &self.verified;
        let names = |names: &mut dyn Iterator<Item = String>| Value::Array(names.map(Value::from).collect());
        Object::new()
            .with("verified", true)
            .with("path", self.question.folder.display().to_string())
            .with("torn", *torn)
            .with("logId", log_id.as_str())
            .with("first", *first)
            .with("last", *last)
            .with("hash", hash.to_string())
            .with("heads", *heads)
            .with("signedSeq", signed.map(|(seq, _)| seq))
            .with("signedAt", signed.map(|(_, at)| at.to_string()))
            .with("unsigned", self.unsigned())
            .with("keys", names(&mut keys.iter().map(PublicKey::to_hex)))
            .with("keysAreBelieved", self.is_believed())
            .with("heldByOthers", *known)
            .with("heldAndPruned", self.held.pruned)
            .with("replaced", names(&mut self.held.replaced.iter().cloned()))
            .with("notJudged", names(&mut self.held.unjudged.iter().cloned()))
            .with("hasNote", *has_note)
    }

    fn lines(&self) -> Vec<String> {
        let Verified { log_id, first, last, hash, heads, signed, keys, known, .. } = &self.verified;
        let mut lines = vec![
            format!("log        {}", printable(log_id)),
            format!("entries    {}, from {first} to {last}", last + 1 - first),
            format!("last hash  {hash}"),
            match signed {
                Some((seq, at)) => format!("signed     up to entry {seq}, at {at}; {heads} signed heads in all"),
                None => "signed     not at all: there is no signed head in it".into(),
            },
            format!("unsigned   {} behind that; a head's own entry counts", self.unsigned()),
        ];
        lines.extend(keys.iter().map(|key| format!("key        {}", key.to_hex())));
        lines.push(format!("held       {known} heads that others hold are in it as they say"));
        lines
    }

    /// What the figures do not say by themselves.
    fn remarks(&self) -> Vec<String> {
        let Held { pruned, replaced, unjudged, .. } = &self.held;
        let (first, log) = (self.verified.first, &self.verified.log_id);
        let mut remarks = Vec::new();
        if first > 1 {
            remarks.push(format!("The entries before {first} were pruned, as a signed entry says."));
        }
        if *pruned > 0 {
            remarks.push(format!("{pruned} heads that others hold are of pruned entries, and were not compared."));
        }
        if !replaced.is_empty() {
            remarks.push(format!(
                "Others hold heads of {} too, whose place {log} took: see its first entry.",
                list(replaced)
            ));
        }
        if !unjudged.is_empty() {
            let names = list(unjudged);
            remarks.push(format!("Others hold heads of {names} too. Whether {log} took its place was pruned."));
        }
        if self.is_believed() {
            remarks.push("No key is known to be trusted, so each that signed a head was believed: compare it, or name it with --public-key.".into());
        }
        if self.verified.torn > 0 {
            let torn = self.verified.torn;
            remarks.push(format!("A crash left {torn} bytes behind the last entry; the next command cuts them off."));
        }
        if !self.verified.has_note {
            remarks.push("There is no note of its end beside it: whether lines were cut off there, only heads that others hold can show.".into());
        }
        remarks
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| printable(name)).collect();
    names.join(", ")
}

fn show(answer: &Answer, json: bool) -> Result<(), Failure> {
    let output = Output::new();
    if json {
        return output.json(&answer.object());
    }
    answer.lines().iter().try_for_each(|line| output.line(line))?;
    answer.remarks().iter().for_each(|line| output.note(line));
    Ok(())
}
