use super::{file, remedy};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::protocol::attestation::{Holder, SignedRecord};
use crate::protocol::json::Object;
use crate::protocol::tpm::Quoted;

/// A record for people, and what its quote proved where it has one.
pub(in crate::cli) struct Shown<'a> {
    pub(in crate::cli) signed: &'a SignedRecord,
    pub(in crate::cli) quoted: Option<&'a Quoted>,
}

pub(super) fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let path = &vault.settings.attestation.file;
    let signed = file::read(path, remedy(vault))?;
    let checked = signed.verify(vault.relay_key()?.key.public_key());
    let output = Output::new();
    if json {
        let object = Object::new().with("file", path.display().to_string()).with("attestation", signed.to_file());
        let detail = checked.as_ref().err().map(ToString::to_string);
        output.json(&object.with("verifies", checked.is_ok()).with("detail", detail))?;
    } else {
        let quoted = checked.as_ref().ok().and_then(|verified| verified.quoted.as_ref());
        let shown = Shown { signed: &signed, quoted };
        lines(&shown).iter().try_for_each(|line| output.line(line))?;
    }
    checked.map_err(|e| {
        let advice = format!("Make a new record: {}", remedy(vault));
        Failure::data(format!("{} does not verify: {e}", path.display()), advice)
    })?;
    if !json {
        output.line("verifies with the relay key")?;
    }
    Ok(0)
}

/// What a record says, a line each.
pub(in crate::cli) fn lines(shown: &Shown<'_>) -> Vec<String> {
    let record = &shown.signed.record;
    let measurement = &record.measurement;
    let issued = measurement.to_object().get_str("issued_at").unwrap_or_default().to_owned();
    let mut lines = vec![
        format!("level        {} ({})", record.assurance().name(), record.kind()),
        format!("reference    {}", record.attestation_ref()),
        format!("issued       {issued}"),
        format!("key          {} {}", measurement.signing_public_key.to_hex(), printable(&measurement.signing_key_id)),
        format!("device       {} {}", printable(record.holder.manufacturer()), printable(record.holder.model())),
        format!(
            "software     {}, SHA-256 {}",
            printable(&measurement.local_vault_version),
            measurement.edge_core_sha256
        ),
        format!("config       SHA-256 {}", measurement.provider_manifest_digest),
    ];
    if let Holder::SealingTpm(sealed, _) = &record.holder {
        lines.push(format!(
            "sealed by    a TPM ({}), which releases the key to memory while it signs",
            sealed.kind.name()
        ));
        lines.push(format!("policy       {}, PCRs {}", sealed.policy_key.to_hex(), sealed.pcr_selection));
    }
    if let Some(quote) = record.holder.quote() {
        lines.push(format!("AK name      {}", hex::encode(&quote.ak_name)));
        lines.push(format!("PCRs         {}, digest {}", quote.pcr_selection, quote.pcr_digest));
    }
    if let Some(quoted) = shown.quoted {
        let clock = &quoted.clock;
        let safe = if clock.safe { "safe" } else { "not safe" };
        lines.push(format!("TPM counts   {} resets, {} restarts", clock.reset_count, clock.restart_count));
        lines.push(format!("TPM clock    {} ms, {safe}; firmware {:016x}", clock.clock, quoted.firmware_version));
    }
    for key in &shown.signed.evidence.certified_keys {
        lines.push(format!("certified    {} {}", printable(&key.purpose), key.public_key.to_hex()));
    }
    if shown.signed.evidence.ek_certificate.is_some() {
        lines.push("EK           certificate in the file, not checked here".to_owned());
    }
    lines
}
