use super::AskError;
use crate::cli::failure::{Failure, REFUSED, TEMPORARY, UNAVAILABLE};
use crate::cli::relay;
use crate::cli::vault::Vault;
use crate::facts::Timestamp;
use crate::protocol::json::{Object, Value};
use crate::spool::{Destination, Gate, Limits, SpoolReader, Stopped, Usage};

/// What a service knows of itself, beside what its spool says.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Live {
    pub(in crate::cli) started_at: Timestamp,
    /// Whether it has not come to the end of its start yet.
    pub(in crate::cli) is_starting: bool,
    /// Why nothing is signed or spooled, and since when.
    pub(in crate::cli) degraded: Option<(String, Timestamp)>,
    pub(in crate::cli) custody_up: bool,
    pub(in crate::cli) audit_up: bool,
    pub(in crate::cli) last_error: Option<(String, Timestamp)>,
    pub(in crate::cli) reloaded_at: Option<Timestamp>,
    /// How much the spool takes, since the config file was read last.
    pub(in crate::cli) limits: Limits,
    /// Whether it relays: one that only witnesses has no spool.
    pub(in crate::cli) relays: bool,
    /// How its witness is, where it has one.
    pub(in crate::cli) witness: Option<Object>,
    /// Why nothing is witnessed.
    pub(in crate::cli) witness_lacks: Option<String>,
}

/// What the service tells whoever may hear everything. Where the spool cannot be read, that part is null. Blocks on
/// the disk.
pub(in crate::cli) fn collect(vault: &Vault, live: &Live) -> Object {
    let now = vault.clock.now();
    let spool = live.relays.then(|| vault.reader().and_then(|reader| Looked::at(&reader)));
    let degraded = live.degraded.as_ref().map(|(why, _)| why.clone());
    let unread = spool.as_ref().and_then(|spool| spool.as_ref().err()).map(|failure| failure.message().to_owned());
    let why = degraded.or(unread).or_else(|| live.witness_lacks());
    let away = if live.is_starting { Away::Starting } else { Away::because(why) };
    let spool = spool.and_then(Result::ok);
    of_service(vault, status(vault, spool.as_ref(), &live.limits, away, now), live, now)
}

/// The same where the disk does not answer.
pub(in crate::cli) fn blind(vault: &Vault, live: &Live) -> Object {
    let now = vault.clock.now();
    let why = Away::Degraded("the disk does not answer".into());
    of_service(vault, status(vault, None, &live.limits, why, now), live, now)
}

impl Live {
    /// Why nothing is witnessed, where that is so.
    fn witness_lacks(&self) -> Option<String> {
        let stopped = self.witness.as_ref().and_then(|witness| witness.get_str("incident"));
        self.witness_lacks.clone().or_else(|| stopped.map(|incident| format!("the witness was stopped: {incident}")))
    }
}

/// The same with what the service knows of itself.
fn of_service(vault: &Vault, status: Object, live: &Live, now: Timestamp) -> Object {
    let status = status.with("service", service(vault, live, now));
    match &live.witness {
        Some(witness) => status.with("witness", witness.clone()),
        None => status,
    }
}

/// What the spool tells where no service does: `why` says why not.
pub(in crate::cli) fn offline(vault: &Vault, why: &AskError) -> Result<Object, Failure> {
    let looked = Looked::at(&vault.reader()?)?;
    let silent = matches!(why, AskError::Silent).then(|| why.to_string());
    let limits = vault.settings.bounds.limits;
    let status = status(vault, Some(&looked), &limits, Away::because(silent), vault.clock.now());
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
        Some("full" | "maintenance") => TEMPORARY,
        Some("revoked" | "suspect") => REFUSED,
        _ => UNAVAILABLE,
    }
}

/// What a service lacks.
enum Away {
    No,
    Starting,
    Degraded(String),
}

impl Away {
    fn because(why: Option<String>) -> Self {
        why.map_or(Self::No, Self::Degraded)
    }
}

/// What the spool says at one moment.
struct Looked {
    states: Object,
    oldest: Option<Timestamp>,
    last_receipt: Option<Timestamp>,
    usage: Usage,
    stopped: Vec<Stopped>,
    destination: Destination,
}

/// From so much on it is told that a limit is near.
const NEARLY_FULL: u32 = 80;

impl Looked {
    fn at(spool: &SpoolReader) -> Result<Self, Failure> {
        let totals = spool.totals()?;
        let states = totals.iter().fold(Object::new(), |states, totals| {
            let object = Object::new().with("events", totals.events).with("bytes", totals.bytes);
            states.with(totals.state.name(), object)
        });
        Ok(Self {
            states,
            oldest: spool.oldest_pending()?,
            last_receipt: spool.last_receipt()?,
            usage: spool.usage()?,
            stopped: spool.stopped()?,
            destination: spool.destination()?,
        })
    }

    /// What holds the spool or the relay back by itself, the worst first, and why.
    fn held(&self, limits: &Limits, now: Timestamp) -> Option<(&'static str, String)> {
        let Destination { suspect, maintenance, .. } = &self.destination;
        if self.destination.gate(now) == Gate::Revoked {
            return Some(("revoked", "this installation is revoked".into()));
        }
        if let Some((since, how)) = suspect {
            return Some(("suspect", format!("the receiver is ahead of this spool since {since}: {how}")));
        }
        if let Some((_, reason)) = maintenance {
            return Some(("maintenance", reason.clone()));
        }
        limits.reached(&self.usage).map(|limit| ("full", limit.what().into()))
    }

    /// How much of the nearest limit is used, in hundredths.
    fn full(&self, limits: &Limits) -> u32 {
        (limits.fullness(&self.usage) * 100.0) as u32
    }
}

fn status(vault: &Vault, spool: Option<&Looked>, limits: &Limits, away: Away, now: Timestamp) -> Object {
    let gate = spool.map(|spool| spool.destination.gate(now));
    let parked = spool.and_then(|spool| spool.destination.parked.as_ref());
    let (state, reason) = match (spool.and_then(|spool| spool.held(limits, now)), away, gate) {
        (Some((state, why)), ..) => (state, Some(why)),
        (None, Away::Starting, _) => ("starting", None),
        (None, Away::Degraded(why), _) => ("degraded", Some(why)),
        (None, Away::No, Some(Gate::Open) | None) => ("ok", None),
        (None, Away::No, Some(gate)) => (relay::state(gate), parked.map(|parked| parked.reason.clone())),
    };
    let alarms = spool.map(|spool| alarms(spool, limits)).unwrap_or_default();
    let bound = spool.and_then(|spool| spool.destination.installation_id.clone());
    Object::new()
        .with("state", state)
        .with("reason", reason)
        .with("alarms", alarms)
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("at", now.to_string())
        .with("installation_id", bound.or_else(|| vault.settings.installation_id.clone()))
        .with("spool", spool.map(|spool| spool_object(spool, limits, now)))
        .with("relay", spool.map(|spool| relay_object(&spool.destination, now)))
}

/// What needs somebody although everything goes on.
fn alarms(spool: &Looked, limits: &Limits) -> Vec<Value> {
    let full = spool.full(limits);
    let full = (full >= NEARLY_FULL).then(|| format!("the spool is {full} % full"));
    let stopped = spool.stopped.len();
    let stopped = (stopped > 0).then(|| format!("{stopped} streams are stopped"));
    [full, stopped].into_iter().flatten().map(Value::from).collect()
}

fn spool_object(spool: &Looked, limits: &Limits, now: Timestamp) -> Object {
    let Usage { bytes, events, free, disk } = spool.usage;
    let limits_object = Object::new()
        .with("bytes", limits.bytes)
        .with("events", limits.events)
        .with("reserve_bytes", limits.reserve(disk));
    Object::new()
        .with("states", spool.states.clone())
        .with("unsettled", events)
        .with("file_bytes", bytes)
        .with("free_disk_bytes", free)
        .with("limits", limits_object)
        .with("full_percent", spool.full(limits))
        .with("stopped_streams", spool.stopped.len())
        .with("last_receipt_at", time(spool.last_receipt))
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
        .with("maintenance_since", time(destination.maintenance.as_ref().map(|(since, _)| *since)))
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
