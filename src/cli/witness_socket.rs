//! The witness through the service that has its state open: what a command asks of it over the local socket.

use super::failure::Failure;
use super::status::{AskError, post};
use super::vault::Vault;
use crate::protocol::json::{self, Object, Value};
use crate::protocol::witness::SubmitterSignature;
use crate::witness::{Change, Code, Request, Verdict};

/// Submits a checkpoint to the service; `None` where none has this witness open, and the state is at hand. The service
/// knows its caller by their user, whatever the request calls them.
pub(super) async fn submit(vault: &Vault, request: &Request) -> Result<Option<Verdict>, Failure> {
    let body = Object::new()
        .with("checkpoint", request.submission.to_object())
        .with("submitter_signature", request.signature.as_ref().map(SubmitterSignature::to_object))
        .with("known_receipts", request.known.clone());
    let Some(answer) = ask(vault, "/witness/v1/checkpoints", &body).await? else { return Ok(None) };
    let verdict = match (answer.get_object("receipt"), answer.get_object("forkEvidence")) {
        (Some(receipt), None) if answer.get("replayed").and_then(Value::as_bool) == Some(true) => {
            Verdict::Replayed(receipt.clone())
        }
        (Some(receipt), None) => Verdict::Accepted(receipt.clone()),
        (None, Some(evidence)) => Verdict::Forked(evidence.clone()),
        _ => return Err(Failure::data("the service's answer is no verdict", "Is it ours?")),
    };
    Ok(Some(verdict))
}

/// Has the service make a change; false where none has this witness open.
pub(super) async fn change(vault: &Vault, change: &Change) -> Result<bool, Failure> {
    let Some(change) = change.to_object() else {
        return Err(Failure::usage("this change is made where no service runs", "Stop the service first."));
    };
    Ok(ask(vault, "/witness/v1/changes", &change).await?.is_some())
}

/// The object of an answer that is none of a refusal. `None` where nobody answers for this witness.
async fn ask(vault: &Vault, path: &str, body: &Object) -> Result<Option<Object>, Failure> {
    // Without a config file the socket is that of whoever else runs here.
    if vault.settings.config_file.is_none() || !vault.settings.witness.is_served() {
        return Ok(None);
    }
    let (status, answer) = match post(&vault.settings.ingest.socket, path, &body.to_canonical()).await {
        Ok(answer) => answer,
        Err(AskError::Nobody) => return Ok(None),
        Err(e) => return Err(Failure::unavailable(e.to_string(), "Nothing was changed here. Look at the service.")),
    };
    let answer = json::parse(&answer).map_err(|_| Failure::data("the service's answer is no object", "Is it ours?"))?;
    let Some(error) = answer.get_object("error") else { return Ok(Some(answer)) };
    let (code, message) = (error.get_str("code").unwrap_or_default(), error.get_str("message").unwrap_or_default());
    if status == 404 && code == Code::NotFound.name() {
        // A service that does not witness.
        return Ok(None);
    }
    Err(refused(status, error.get_str("incident"), message))
}

fn refused(status: u16, incident: Option<&str>, message: &str) -> Failure {
    let incident = incident.map(|incident| format!(" ({incident})")).unwrap_or_default();
    let message = format!("the service refuses: {message}{incident}");
    match (status, incident.is_empty()) {
        (503, false) => Failure::refused(message, "Nothing was signed. docs/witness.md says what to do about it."),
        (429 | 503 | 507, _) => Failure::temporary(message, "Try again."),
        (403, _) => Failure::refused(message, "Nothing was changed, and nothing was signed."),
        (500, _) => Failure::software(message),
        _ => Failure::data(message, "Nothing was changed, and nothing was signed."),
    }
}
