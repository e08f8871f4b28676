use super::state;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::spool::{stopped_lines, stopped_objects};
use crate::cli::vault::Vault;
use crate::facts::Timestamp;
use crate::protocol::json::Object;
use crate::relay::Endpoint;
use crate::spool::Destination;

pub(super) fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let reader = vault.reader()?;
    let (destination, stopped) = (reader.destination()?, reader.stopped()?);
    let gate = destination.gate(vault.clock.now());
    let output = Output::new();
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    if json {
        let parked = destination.parked.as_ref().map(|parked| {
            Object::new()
                .with("since", parked.since.to_string())
                .with("reason", parked.reason.as_str())
                .with("failures", parked.failures)
                .with("probeAt", parked.probe_at.to_string())
        });
        let status = Object::new()
            .with("state", state(gate))
            .with("installationId", destination.installation_id.clone())
            .with("endpoint", endpoint(vault))
            .with("pausedAt", time(destination.paused_at))
            .with("revokedAt", time(destination.revoked_at))
            .with("suspect", noted(&destination.suspect))
            .with("maintenance", noted(&destination.maintenance))
            .with("parked", parked)
            .with("stopped", stopped_objects(&stopped));
        output.json(&status)?;
        return Ok(0);
    }
    let installation = destination.installation_id.as_deref().map_or_else(|| "-".into(), printable);
    output.line(&format!("state         {}", state(gate)))?;
    output.line(&format!("installation  {installation}"))?;
    output.line(&format!("endpoint      {}", endpoint(vault).unwrap_or_else(|| "-".into())))?;
    held_back(&destination, output)?;
    stopped_lines(&stopped).try_for_each(|line| output.line(&line))?;
    Ok(0)
}

/// Since when, and why.
fn noted(noted: &Option<(Timestamp, String)>) -> Option<Object> {
    let (since, reason) = noted.as_ref()?;
    Some(Object::new().with("since", since.to_string()).with("reason", reason.as_str()))
}

/// The endpoint as it may be shown: one that is refused may hold a password.
fn endpoint(vault: &Vault) -> Option<String> {
    let text = vault.settings.relay.endpoint.as_deref()?;
    Some(Endpoint::parse(text, None).map_or_else(|e| format!("refused: {e}"), |endpoint| endpoint.to_string()))
}

fn held_back(destination: &Destination, output: Output) -> Result<(), Failure> {
    if let Some(since) = destination.revoked_at {
        output.line(&format!("revoked       since {since}; the way out: relay resume --installation-id NEW"))?;
    }
    if let Some((since, reason)) = &destination.suspect {
        let way = "relay resume --accept-restored";
        output.line(&format!("suspect       since {since}: {}; once you know why: {way}", printable(reason)))?;
    }
    if let Some(since) = destination.paused_at {
        output.line(&format!("paused        since {since}; the way out: relay resume"))?;
    }
    if let Some((since, reason)) = &destination.maintenance {
        output.line(&format!("maintenance   since {since}: {}; nothing new is taken", printable(reason)))?;
    }
    if let Some(parked) = &destination.parked {
        let reason = printable(&parked.reason);
        output.line(&format!("parked        since {}: {reason}, {} probes failed", parked.since, parked.failures))?;
        output.line(&format!("next probe    {}", parked.probe_at))?;
    }
    Ok(())
}
