use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::{revoked, suspect};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::custody::Purpose;
use crate::facts::{random_id, with_suffix};
use crate::ingest::{Ingest, check_id};
use crate::protocol::json::Object;
use crate::relay::{Drain, DrainConfig, Step};
use crate::spool::{Gate, SpoolError, SpoolReader};
use crate::store::StoreError;

/// Sends one marked event by a spool of its own, so that neither the real one's events nor its outages are touched,
/// and what is signed is on the disk first like any other.
pub(super) async fn run(vault: &Vault, stream_id: &str) -> Result<u8, Failure> {
    check_id("stream_id", stream_id)?;
    let installation_id = vault.installation_id()?.to_owned();
    refuse_stopped(vault)?;
    let scratch = tempdir(vault)?;
    let path = scratch.0.join("spool.sqlite3");
    let spool = Arc::new(vault.scratch_spool_at(&path)?);
    let source_ref = random_id("relay-test-");
    let marked =
        Object::new().with("event_type", "local_vault.relay.test").with("sent_at", vault.clock.now().to_string());
    Ingest::new(spool.clone(), vault.audit()?).payload(stream_id, &source_ref, &marked.to_canonical(), true).await?;
    let client = vault.client(Some(&installation_id))?;
    let config = DrainConfig { installation_id, parallel: 1, count_every_failure: false, audit: vault.audit()? };
    let signer = vault.signer(Purpose::Relay)?;
    let mut drain = Drain::start(&path, spool, signer, client, vault.clock.clone(), config).await?;
    match drain.next(1).await? {
        Step::Settled(outcome) if outcome.is_sent() => {
            Output::new().line(&format!("the receiver acknowledged {} with a matching receipt", outcome.event_id))?;
            Ok(0)
        }
        Step::Settled(outcome) if outcome.revoked => Err(revoked()),
        Step::Settled(outcome) => Err(Failure::unavailable(
            format!("the receiver gave no matching receipt ({})", outcome.error.unwrap_or_default()),
            "Check endpoint, certificate and keys; nothing that is spooled was sent.",
        )),
        Step::Idle { .. } => Err(Failure::software("the marked event was not sent")),
    }
}

/// What holds the relay back until the operator has looked holds a test back too: it would be signed and sent for an
/// installation that is revoked, or beside somebody who sends for it already. A new enrolment is named to the relay
/// first; an outage and a pause are no reason.
fn refuse_stopped(vault: &Vault) -> Result<(), Failure> {
    let reader = match SpoolReader::open(&vault.spool_path()?) {
        Err(SpoolError::Store(StoreError::Missing(_))) => return Ok(()),
        reader => reader?,
    };
    match reader.destination()?.gate(vault.clock.now()) {
        Gate::Revoked => Err(revoked()),
        Gate::Suspect => Err(suspect()),
        Gate::Open | Gate::Parked { .. } | Gate::Paused | Gate::Probe => Ok(()),
    }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a sealed test event.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tempdir(vault: &Vault) -> Result<Scratch, Failure> {
    let path = with_suffix(&vault.spool_path()?, &random_id(".relay-test-"));
    fs::create_dir(&path).map_err(|e| Failure::io(&format!("cannot create {}", path.display()), &e))?;
    Ok(Scratch(path))
}
