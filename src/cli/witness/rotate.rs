use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::witness::Desk;

/// Lets the next key sign, and says what to do about it.
pub(super) async fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    if vault.settings.custody.witness_next.is_none() {
        return Err(Failure::config(
            "no key is configured that the witness could go on with",
            "Make one, and name it under [custody.keys.witness_next] in the config file.",
        ));
    }
    let witness_id = vault.witness_id()?;
    let (desk, closing) = Desk::start(vault.witness().await?)?;
    let rotated = desk.rotate(witness_id, vault.clock.now()).await;
    closing.close(desk).await;
    let rollover = rotated?;
    let output = Output::new();
    if json {
        output.json(&rollover)?;
        return Ok(0);
    }
    let text = |key: &str| key_of(&rollover, key);
    output.line(&format!("until now      {}", text("old")))?;
    output.line(&format!("from now on    {}", text("new")))?;
    output.line(
        "Publish the rollover: `local-vault witness export` begins with it, and `verify` takes the new key from it.",
    )?;
    output.line(
        "Change nothing in the config file today. Once every verifier has the new key, move witness_next to witness.",
    )?;
    Ok(0)
}

fn key_of(rollover: &Object, which: &str) -> String {
    let key = rollover.get_object("document").and_then(|document| document.get_object(which));
    let text = |member| key.and_then(|key| key.get_str(member)).unwrap_or_default();
    format!("{} {}", text("kid"), text("public_key_hex"))
}
