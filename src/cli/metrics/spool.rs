use super::told::Told;
use crate::cli::failure::Failure;
use crate::cli::relay::{STATES, state};
use crate::facts::Timestamp;
use crate::spool::{Limits, SpoolReader};

/// Tells what the spool tells without keys. The same few rows are read, however much waits.
pub(super) fn tell(told: &Told, spool: &SpoolReader, limits: Limits, now: Timestamp) -> Result<(), Failure> {
    let totals = spool.totals()?;
    let events = totals.iter().map(|totals| (totals.state.name(), totals.events as f64));
    told.gauges("local_vault_spool_events", "Events in the spool.", "state", events)?;
    let bytes = totals.iter().map(|totals| (totals.state.name(), totals.bytes as f64));
    told.gauges("local_vault_spool_bytes", "Bytes of their canonical payloads.", "state", bytes)?;
    let contents = totals.iter().map(|totals| (totals.state.name(), totals.contents as f64));
    told.gauges("local_vault_spool_contents", "Events whose content is kept still.", "state", contents)?;
    let oldest = spool.oldest_pending()?.map_or(0.0, |then| age(then, now));
    told.gauge("local_vault_spool_oldest_seconds", "Age of the oldest event that is not settled.", oldest)?;

    room(told, spool, limits)?;

    let destination = spool.destination()?;
    let holds = state(destination.gate(now));
    told.one_of("local_vault_relay_state", "What holds the relay back, where anything does.", "state", &STATES, holds)?;
    let parked = destination.parked.map_or(0.0, |parked| age(parked.since, now));
    told.gauge("local_vault_parked_seconds", "For how long the receiver has been away.", parked)?;

    let maintenance = f64::from(u8::from(destination.maintenance.is_some()));
    told.gauge("local_vault_maintenance", "Whether the door is closed for maintenance.", maintenance)?;
    let stopped = spool.stopped()?.len() as f64;
    told.gauge("local_vault_streams_stopped", "Streams that wait for an operator to release them.", stopped)?;

    let (epoch, epochs) = spool.epochs()?;
    told.gauge("local_vault_epoch", "The number of the newest epoch.", epoch.into())?;
    told.gauge("local_vault_epochs", "Epochs that are there.", epochs.into())
}

/// How much there is of what is limited. A limit that is not set is not told of.
fn room(told: &Told, spool: &SpoolReader, limits: Limits) -> Result<(), Failure> {
    let usage = spool.usage()?;
    let fullness = limits.fullness(&usage);
    told.gauge("local_vault_spool_fullness", "How much of the nearest limit is used, from 0 to 1.", fullness)?;
    let full = f64::from(u8::from(limits.reached(&usage).is_some()));
    told.gauge("local_vault_spool_full", "Whether a limit is reached: nothing new is taken then.", full)?;
    let file = usage.bytes as f64;
    told.gauge("local_vault_spool_file_bytes", "Bytes of the spool's file that are in use.", file)?;
    told.gauge("local_vault_disk_free_bytes", "Bytes that are free on the spool's disk.", usage.free as f64)?;
    let reserve = Some(limits.reserve(usage.disk));
    let set = [("file_bytes", limits.bytes), ("events", limits.events), ("disk_reserve_bytes", reserve)];
    let set = set.into_iter().filter_map(|(name, limit)| Some((name, limit? as f64)));
    told.gauges("local_vault_spool_limit", "The limits that are set.", "limit", set)
}

/// In seconds; nothing where a clock was set back.
fn age(then: Timestamp, now: Timestamp) -> f64 {
    now.as_millis().saturating_sub(then.as_millis()).max(0) as f64 / 1000.0
}
