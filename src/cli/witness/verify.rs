use crate::cli::failure::Failure;
use crate::cli::output::{Output, progress};
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::witness::{Checked, Wrong};

/// Goes over every record and tells of each that is wrong.
pub(super) async fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let witness = vault.witness().await?;
    let bar = progress(witness.floor().count, "verifying");
    let (mut wrong, mut told) = (0, Ok(()));
    let checked = witness.check(|found| {
        bar.inc(1);
        if let Some(found) = found {
            wrong += 1;
            told = std::mem::replace(&mut told, Ok(())).and_then(|()| bar.suspend(|| tell(found, json)));
        }
    })?;
    bar.finish_and_clear();
    told?;
    end(&checked, wrong, json)?;
    if wrong == 0 {
        return Ok(0);
    }
    let advice = "Submit nothing more to it, keep the file, and look at the disk and at who may write there. \
                  docs/witness.md says how to go on.";
    Err(Failure::data(format!("{wrong} of the witness's records are not as they were written"), advice))
}

fn tell(Wrong { n, what }: Wrong, json: bool) -> Result<(), Failure> {
    let output = Output::new();
    if json {
        return output.json(&Object::new().with("n", n).with("wrong", what));
    }
    output.line(&format!("wrong  record {n}: {what}"))
}

fn end(checked: &Checked, wrong: u64, json: bool) -> Result<(), Failure> {
    let Checked { records, signed, unsigned } = checked;
    let output = Output::new();
    if json {
        let object = Object::new()
            .with("verified", wrong == 0)
            .with("records", *records)
            .with("receipts", signed.receipts)
            .with("forks", signed.forks)
            .with("unsigned", *unsigned)
            .with("wrong", wrong);
        return output.json(&object);
    }
    output.line(&format!(
        "{records} records verified ({} receipts, {} fork evidence), {wrong} wrong, {unsigned} without a signature yet",
        signed.receipts, signed.forks
    ))
}
