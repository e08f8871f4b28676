use super::{find, object, unknown};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::receipt::bundle;
use crate::cli::vault::Vault;
use crate::facts::EventId;
use crate::protocol::bundle::Bundle;
use crate::protocol::json::{self, Object, Value};
use crate::spool::{Answer, Event, SpoolReader};

pub(super) async fn run(vault: &Vault, id: EventId, with_payload: bool, as_json: bool) -> Result<u8, Failure> {
    let reader = vault.reader()?;
    let event = find(&reader, id)?;
    let settled_at = reader.history(&event)?.map(|history| history.settled_at.to_string());
    let mut shown = object(&event).with("settledAt", settled_at);
    if with_payload {
        let payload = vault.spool().await?.payload(id).await?.ok_or_else(|| unknown(id))?;
        let payload = json::parse(&payload).map_err(|e| Failure::data(e.to_string(), "The payload is not shown."))?;
        shown = shown.with("payload", payload);
    }
    let (claims, gap) = (bundles(&event, reader.claims(&event)?).await?, gap(&reader, &event)?);
    let output = Output::new();
    if as_json {
        let claims: Vec<Object> = claims.iter().map(Bundle::to_object).collect();
        output.json(&shown.with("claims", claims).with("gap", gap))?;
        return Ok(0);
    }
    for (name, value) in shown.iter() {
        let text = match value {
            Value::String(text) => printable(text),
            Value::Null => "-".into(),
            other => other.to_python_text(),
        };
        output.line(&format!("{name:14} {text}"))?;
    }
    claims.iter().try_for_each(|claim| output.line(&format!("claim          {}", claimed(claim))))?;
    if let Some(gap) = gap {
        let found_at = gap.get_object("record").and_then(|record| record.get_str("found_at")).unwrap_or("-");
        let line = format!("set aside {}; a signed record says so: --json shows it", printable(found_at));
        output.line(&format!("gap            {line}"))?;
    }
    Ok(0)
}

/// Answers to an event, in the form of a receipt.
pub(super) async fn bundles(event: &Event, answers: Vec<Answer>) -> Result<Vec<Bundle>, Failure> {
    let mut bundles = Vec::with_capacity(answers.len());
    for answer in answers {
        bundles.extend(bundle(event, answer, None).await?);
    }
    Ok(bundles)
}

/// The signed record in the place of a damaged event. One that does not read is shown as it is.
pub(super) fn gap(reader: &SpoolReader, event: &Event) -> Result<Option<Object>, Failure> {
    let Some((record, signature)) = reader.gap(event)? else { return Ok(None) };
    let record: Value = match json::parse(&record) {
        Ok(record) => record.into(),
        Err(_) => Value::from(hex::encode(record)),
    };
    Ok(Some(Object::new().with("record", record).with("signature_hex", signature.to_hex())))
}

fn claimed(claim: &Bundle) -> String {
    let receipt = json::parse(&claim.answer).ok().and_then(|answer| {
        let hash = answer.get_object("receipt")?.get_str("receipt_hash")?;
        Some(printable(hash))
    });
    let Bundle { received_at, status, envelope, .. } = claim;
    let receipt = receipt.as_deref().unwrap_or("-");
    format!("{received_at}, attempt {}, status {status}, receipt {receipt}; --json has all of it", envelope.attempt)
}
