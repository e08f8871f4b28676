use std::time::Duration;

use super::{file, remedy, tell_of_downgrade};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::protocol::ack::ErrorForm;
use crate::protocol::json::{Object, Value};
use crate::relay::{Answer, Client, ClientConfig, Endpoint, EndpointError};

/// The time-out of the contract (section 7).
const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) async fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    // Before a token or a TPM is asked for anything.
    is_registrable(vault)?;
    let client = client(vault)?;
    let attested = vault.attest()?;
    tell_of_downgrade(&attested);
    let Some(signed) = &attested.signed else {
        let advice = "Keep the relay key in a token: see custody.backend.";
        return Err(Failure::config("the relay key is not in a token, and there is nothing to attest", advice));
    };
    file::write(&vault.settings.attestation.file, signed)?;
    let (preimage, key) = (signed.record.preimage(), attested.key.public_key());
    let body = signed.to_posted().to_canonical();
    let sent = client.post_event(&preimage.hash(), &signed.signature, key, body).await;
    let answer = sent.map_err(|e| Failure::unavailable(e.to_string(), "The record is written; register it again."))?;
    if ![200, 201].contains(&answer.status) {
        return Err(refused(&answer));
    }
    let reference = signed.record.attestation_ref().to_string();
    let output = Output::new();
    if json {
        let response = answer.object().map_or(Value::Null, Value::from);
        let object = Object::new().with("attestationRef", reference).with("statusCode", u32::from(answer.status));
        output.json(&object.with("response", response).with("assurance", attested.assurance().name()))?;
    } else {
        let known = if answer.status == 200 { ", which knew it" } else { "" };
        output
            .line(&format!("registered {} record {reference} with the receiver{known}", attested.assurance().name()))?;
    }
    Ok(0)
}

/// Of a key that a TPM seals there is a record, and none that the platform knows.
fn is_registrable(vault: &Vault) -> Result<(), Failure> {
    if vault.relay_key()?.is_sealed() {
        let advice = format!("Make and write one: {}. `verify --attestation` verifies it anywhere.", remedy(vault));
        return Err(Failure::config("the platform knows no record of a key that a TPM seals", advice));
    }
    Ok(())
}

/// The way to where records are registered: the relay's, to the neighbour of its endpoint or to what was named.
fn client(vault: &Vault) -> Result<Client, Failure> {
    let installation_id = vault.installation_id()?;
    let endpoint = match &vault.settings.attestation.url {
        Some(url) => named(url)?,
        None => {
            let events = vault.endpoint(Some(installation_id))?;
            // The path of the installation's events ends so.
            let base = events.as_str().strip_suffix("/events").unwrap_or_default();
            Endpoint::parse(&format!("{base}/attestations"), None)?
        }
    };
    let config = ClientConfig { endpoint, trust: vault.trust(), proxy: vault.proxy()?, timeout: TIMEOUT };
    Ok(Client::new(&config)?)
}

fn named(url: &str) -> Result<Endpoint, Failure> {
    let mend = "Mend attestation.url, or ATTESTO_LOCAL_VAULT_ATTESTATION_URL.";
    let endpoint = Endpoint::parse(url, None).map_err(|e: EndpointError| Failure::config(e.to_string(), mend))?;
    if url.ends_with("/attestations") {
        return Ok(endpoint);
    }
    Err(Failure::config("the URL for records does not end in /attestations", mend))
}

fn refused(answer: &Answer) -> Failure {
    let said = answer.object().ok().and_then(|object| ErrorForm::from_object(&object));
    let said =
        said.map_or_else(String::new, |form| format!(": {} ({})", printable(&form.message), printable(&form.code)));
    let message = format!("the receiver answered {}{said}", answer.status);
    match answer.status {
        401 | 403 => Failure::refused(message, "Is this installation enrolled with this relay key?"),
        400 | 404 | 409 | 422 => {
            Failure::data(message, "The receiver holds the record to be wrong. It was not registered.")
        }
        _ => Failure::unavailable(message, "The record is written; register it again."),
    }
}
