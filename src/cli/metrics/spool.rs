use super::told::Told;
use crate::cli::failure::Failure;
use crate::cli::relay::{STATES, state};
use crate::facts::Timestamp;
use crate::spool::SpoolReader;

/// Tells what the spool tells without keys. The same few rows are read, however much waits.
pub(super) fn tell(told: &Told, spool: &SpoolReader, now: Timestamp) -> Result<(), Failure> {
    let totals = spool.totals()?;
    let events = totals.iter().map(|totals| (totals.state.name(), totals.events as f64));
    told.gauges("local_vault_spool_events", "Events in the spool.", "state", events)?;
    let bytes = totals.iter().map(|totals| (totals.state.name(), totals.bytes as f64));
    told.gauges("local_vault_spool_bytes", "Bytes of their canonical payloads.", "state", bytes)?;
    let oldest = spool.oldest_pending()?.map_or(0.0, |then| age(then, now));
    told.gauge("local_vault_spool_oldest_seconds", "Age of the oldest event that is not settled.", oldest)?;

    let destination = spool.destination()?;
    let holds = state(destination.gate(now));
    told.one_of("local_vault_relay_state", "What holds the relay back, where anything does.", "state", &STATES, holds)?;
    let parked = destination.parked.map_or(0.0, |parked| age(parked.since, now));
    told.gauge("local_vault_parked_seconds", "For how long the receiver has been away.", parked)?;

    let (epoch, epochs) = spool.epochs()?;
    told.gauge("local_vault_epoch", "The number of the newest epoch.", epoch.into())?;
    told.gauge("local_vault_epochs", "Epochs that are there.", epochs.into())
}

/// In seconds; nothing where a clock was set back.
fn age(then: Timestamp, now: Timestamp) -> f64 {
    now.as_millis().saturating_sub(then.as_millis()).max(0) as f64 / 1000.0
}
