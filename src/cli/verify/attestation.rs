use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::VerifyArgs;
use crate::cli::attestation::{Shown, lines};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::facts::Digest;
use crate::protocol::PublicKey;
use crate::protocol::attestation::{SignedRecord, Verified};
use crate::protocol::json::{self, MAX_BYTES, Object, Value};
use crate::protocol::tpm::{PcrValues, Quoted};

/// Verifies one record, as it is kept or as it was posted, with nothing but the relay key and what the PCRs should be.
pub(super) fn run(file: &Path, args: &VerifyArgs) -> Result<u8, Failure> {
    let signed = read(file)?;
    let refused = |what: String| {
        Failure::data(format!("{}: {what}", file.display()), "Believe nothing of what this record says.")
    };
    let verified = verify(&signed, args).map_err(refused)?;
    let golden = golden(&args.pcrs, verified.quoted.as_ref()).map_err(refused)?;
    let output = Output::new();
    if args.json {
        return output.json(&object(&signed, &verified, golden)).map(|()| 0);
    }
    let shown = Shown { signed: &signed, quoted: verified.quoted.as_ref() };
    lines(&shown).iter().try_for_each(|line| output.line(line))?;
    if golden {
        output.line("golden       the PCRs had the values given")?;
    } else if verified.quoted.is_some() {
        output.note("The PCRs were compared with nothing: give each with --pcr.");
    }
    if verified.quoted.is_some() {
        // Any program may call itself a TPM, and name whatever PCRs are expected.
        output.note("Compare the AK name with your own note: nothing else says that a TPM made this quote.");
    }
    output.line("verified")?;
    Ok(0)
}

/// Tries each relay key that is trusted; what the last one showed is told.
fn verify(signed: &SignedRecord, args: &VerifyArgs) -> Result<Verified, String> {
    let mut last = "no relay key is trusted".to_owned();
    let relay: Vec<&PublicKey> =
        args.keys.iter().filter(|(purpose, _)| purpose == "relay").map(|(_, key)| key).collect();
    for key in relay {
        match signed.verify(key) {
            Ok(verified) => return Ok(verified),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

/// Whether golden values were compared, and held.
fn golden(pcrs: &[(u8, Digest)], quoted: Option<&Quoted>) -> Result<bool, String> {
    if pcrs.is_empty() {
        return Ok(false);
    }
    let quoted = quoted.ok_or("the record has no quote, so that no PCR can be checked")?;
    let values: PcrValues = pcrs.iter().copied().collect();
    if values.len() < pcrs.len() {
        return Err("a PCR is given twice".to_owned());
    }
    match quoted.had(&values) {
        Ok(true) => Ok(true),
        Ok(false) => Err("the PCRs did not have the values given".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

fn read(file: &Path) -> Result<SignedRecord, Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| Failure::io(&format!("cannot read {}", file.display()), &e))?;
    let refused = |what: String| {
        Failure::data(format!("{}: {what}", file.display()), "Name a record as it was kept, or as it was posted.")
    };
    let object = json::parse(&bytes).map_err(|e| refused(e.to_string()))?;
    SignedRecord::from_object(&object).map_err(|e| refused(e.to_string()))
}

fn object(signed: &SignedRecord, verified: &Verified, golden: bool) -> Object {
    let record = &signed.record;
    let object = Object::new()
        .with("verifies", true)
        .with("assurance", verified.assurance.name())
        .with("kind", record.kind())
        .with("attestationRef", record.attestation_ref().to_string())
        .with("keyId", record.measurement.signing_key_id.as_str())
        .with("publicKeyHex", record.measurement.signing_public_key.to_hex())
        .with("manufacturer", record.holder.manufacturer())
        .with("model", record.holder.model())
        .with("goldenValues", golden)
        .with("certifiedKeys", certified_keys(signed));
    match &verified.quoted {
        Some(quoted) => object.with("quote", quote(quoted)),
        None => object,
    }
}

/// What the attestation key certified, which was verified.
fn certified_keys(signed: &SignedRecord) -> Vec<Value> {
    let keys = signed.evidence.certified_keys.iter().map(|key| {
        Object::new().with("purpose", key.purpose.as_str()).with("publicKeyHex", key.public_key.to_hex()).into()
    });
    keys.collect()
}

fn quote(quoted: &Quoted) -> Object {
    Object::new()
        .with("akName", hex::encode(&quoted.ak_name))
        .with("pcrSelection", quoted.pcr_selection.to_string())
        .with("pcrDigest", quoted.pcr_digest.to_string())
        .with("resetCount", quoted.clock.reset_count)
        .with("restartCount", quoted.clock.restart_count)
        .with("clockMs", quoted.clock.clock)
        .with("clockSafe", quoted.clock.safe)
        .with("firmwareVersion", format!("{:016x}", quoted.firmware_version))
}
