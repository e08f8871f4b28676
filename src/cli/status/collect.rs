use super::AskError;
use crate::cli::failure::{Failure, REFUSED, UNAVAILABLE};
use crate::cli::relay;
use crate::cli::vault::Vault;
use crate::facts::Timestamp;
use crate::protocol::json::{Object, Value};
use crate::spool::{Destination, Gate, SpoolReader, State};

/// What a service knows of itself, beside what its spool says.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Live {
    pub(in crate::cli) started_at: Timestamp,
    /// Why nothing is signed or spooled, and since when.
    pub(in crate::cli) degraded: Option<(String, Timestamp)>,
    pub(in crate::cli) custody_up: bool,
    pub(in crate::cli) audit_up: bool,
    pub(in crate::cli) last_receipt_at: Option<Timestamp>,
    pub(in crate::cli) last_error: Option<(String, Timestamp)>,
    pub(in crate::cli) reloaded_at: Option<Timestamp>,
}

/// What the service tells whoever may hear everything. Where the spool cannot be read, that part is null. Blocks on
/// the disk.
pub(in crate::cli) fn collect(vault: &Vault, live: &Live) -> Object {
    let now = vault.clock.now();
    let spool = vault.reader().and_then(|reader| Looked::at(&reader));
    let degraded = live.degraded.as_ref().map(|(why, _)| why.clone());
    let unread = spool.as_ref().err().map(|failure| failure.message().to_owned());
    let status = status(vault, spool.ok().as_ref(), degraded.or(unread), now);
    status.with("service", service(vault, live, now))
}

/// The same where the disk does not answer.
pub(in crate::cli) fn blind(vault: &Vault, live: &Live) -> Object {
    let now = vault.clock.now();
    status(vault, None, Some("the disk does not answer".into()), now).with("service", service(vault, live, now))
}

/// What the spool tells where no service does: `why` says why not.
pub(in crate::cli) fn offline(vault: &Vault, why: &AskError) -> Result<Object, Failure> {
    let looked = Looked::at(&vault.reader()?)?;
    let silent = matches!(why, AskError::Silent).then(|| why.to_string());
    let status = status(vault, Some(&looked), silent, vault.clock.now());
    Ok(status.with("service", Value::Null).with("no_service", why.to_string()))
}

/// What anybody may hear.
pub(in crate::cli) fn reduced(status: &Object) -> Object {
    Object::new().with("state", status.get_str("state").unwrap_or_default())
}

/// What `status` ends with.
pub(super) fn code(status: &Object) -> u8 {
    match status.get_str("state") {
        Some("ok" | "paused") => 0,
        Some("revoked") => REFUSED,
        _ => UNAVAILABLE,
    }
}

/// What the spool says at one moment.
struct Looked {
    states: Object,
    unsettled: u64,
    oldest: Option<Timestamp>,
    destination: Destination,
}

impl Looked {
    fn at(spool: &SpoolReader) -> Result<Self, Failure> {
        let totals = spool.totals()?;
        let states = totals.iter().fold(Object::new(), |states, totals| {
            let object = Object::new().with("events", totals.events).with("bytes", totals.bytes);
            states.with(totals.state.name(), object)
        });
        let unsettled = totals.iter().filter(|totals| matches!(totals.state, State::Queued | State::Relaying));
        Ok(Self {
            states,
            unsettled: unsettled.map(|totals| totals.events).sum(),
            oldest: spool.oldest_pending()?,
            destination: spool.destination()?,
        })
    }
}

fn status(vault: &Vault, spool: Option<&Looked>, degraded: Option<String>, now: Timestamp) -> Object {
    let gate = spool.map(|spool| spool.destination.gate(now));
    let parked = spool.and_then(|spool| spool.destination.parked.as_ref());
    let (state, reason) = match (gate, degraded) {
        (Some(Gate::Revoked), _) => ("revoked", Some("the receiver has revoked this installation".into())),
        (_, Some(why)) => ("degraded", Some(why)),
        (Some(Gate::Open), None) | (None, None) => ("ok", None),
        (Some(gate), None) => (relay::state(gate), parked.map(|parked| parked.reason.clone())),
    };
    let bound = spool.and_then(|spool| spool.destination.installation_id.clone());
    Object::new()
        .with("state", state)
        .with("reason", reason)
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("at", now.to_string())
        .with("installation_id", bound.or_else(|| vault.settings.installation_id.clone()))
        .with("spool", spool.map(|spool| spool_object(spool, now)))
        .with("relay", spool.map(|spool| relay_object(&spool.destination, now)))
}

fn spool_object(spool: &Looked, now: Timestamp) -> Object {
    Object::new()
        .with("states", spool.states.clone())
        .with("unsettled", spool.unsettled)
        .with("oldest_unsettled_at", time(spool.oldest))
        .with("oldest_unsettled_seconds", spool.oldest.map(|then| seconds(then, now)))
}

fn relay_object(destination: &Destination, now: Timestamp) -> Object {
    let parked = destination.parked.as_ref().map(|parked| {
        Object::new()
            .with("since", parked.since.to_string())
            .with("reason", parked.reason.as_str())
            .with("failures", parked.failures)
            .with("probe_at", parked.probe_at.to_string())
    });
    Object::new()
        .with("state", relay::state(destination.gate(now)))
        .with("paused_at", time(destination.paused_at))
        .with("revoked_at", time(destination.revoked_at))
        .with("parked", parked)
}

fn service(vault: &Vault, live: &Live, now: Timestamp) -> Object {
    let config = vault.settings.config_file.as_ref().map(|path| path.display().to_string());
    let last_error = live
        .last_error
        .as_ref()
        .map(|(error, at)| Object::new().with("error", error.as_str()).with("at", at.to_string()));
    Object::new()
        .with("pid", std::process::id())
        .with("started_at", live.started_at.to_string())
        .with("uptime_seconds", seconds(live.started_at, now))
        .with("degraded_since", time(live.degraded.as_ref().map(|(_, since)| *since)))
        .with("custody_up", live.custody_up)
        .with("audit_up", live.audit_up)
        .with("last_receipt_at", time(live.last_receipt_at))
        .with("last_error", last_error)
        .with("config_file", config)
        .with("reloaded_at", time(live.reloaded_at))
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// Whole seconds; none where a clock was set back.
fn seconds(then: Timestamp, now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(then.as_millis()).max(0) / 1000
}
