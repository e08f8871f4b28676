use std::time::Duration;

use super::{revoked, suspect};
use crate::cli::failure::Failure;
use crate::cli::metrics::Exporter;
use crate::cli::output::{Output, progress};
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::relay::{KEY_AWAY, Outcome, Step, UNRECORDED};
use crate::spool::{Gate, State};

/// A wait that a person at a terminal would wonder about, in milliseconds.
const WORTH_TELLING_MS: i64 = 3000;

pub(super) async fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    vault.log.change_on_signal()?;
    let exporter = Exporter::start(vault).await?;
    let done = drain(vault, json, stop, &exporter).await;
    exporter.end().await;
    done
}

async fn drain(vault: &Vault, json: bool, mut stop: Stop, exporter: &Exporter) -> Result<u8, Failure> {
    let note = |failure: &Failure| {
        if failure.is_away() {
            exporter.custody_is(false);
        }
    };
    let mut drain = vault.drain(false, true).await.inspect_err(note)?;
    exporter.watch(&drain)?;
    let bar = progress(queued(vault)?, "relaying");
    let mut count = Count::default();
    let gate = loop {
        let budget = if stop.is_asked() { 0 } else { usize::MAX };
        match drain.next(budget).await.map_err(Failure::from).inspect_err(note)? {
            Step::Settled(outcome) => {
                count.add(&outcome);
                exporter.custody_is(outcome.error.as_deref() != Some(KEY_AWAY));
                if !matches!(outcome.state, State::Queued) {
                    bar.inc(1);
                }
                if json {
                    bar.suspend(|| Output::new().json(&object(&outcome)))?;
                }
            }
            // A key that is away, or signs what it should not, may be so for long.
            Step::Idle { gate: Gate::Open | Gate::Probe, until: Some(_) } if count.reason() == KEY_AWAY => {
                bar.finish_and_clear();
                return Err(key_away());
            }
            Step::Idle { gate: Gate::Open | Gate::Probe, until: Some(_) } if count.reason() == UNRECORDED => {
                bar.finish_and_clear();
                return Err(vault.audit()?.failure().map_or_else(unrecorded, Failure::from));
            }
            // An event that was judged against is due again in a moment: that is not the end.
            Step::Idle { gate: Gate::Open, until: Some(until) } if budget > 0 => {
                let wait = until.as_millis() - vault.clock.now().as_millis();
                if wait > WORTH_TELLING_MS {
                    bar.suspend(|| Output::new().note(&format!("Waiting until {until} ({}).", count.reason())));
                }
                stop.sleep(Duration::from_millis(wait.max(10).unsigned_abs())).await;
            }
            Step::Idle { gate, .. } => break gate,
        }
    };
    bar.finish_and_clear();
    if !json {
        Output::new().line(&count.line())?;
    }
    match gate {
        Gate::Open | Gate::Probe if stop.is_asked() => stopped(vault, &count),
        Gate::Open | Gate::Probe => count.verdict().and_then(|code| released(vault).map(|()| code)),
        Gate::Paused => Err(Failure::refused("the relay is paused", "Run: local-vault relay resume")),
        Gate::Parked { until } => Err(Failure::unavailable(
            format!("the receiver is away ({})", count.reason()),
            format!("Nothing is lost. The next probe is due at {until}; `local-vault relay resume` allows one now."),
        )),
        Gate::Revoked => Err(revoked()),
        Gate::Suspect => Err(suspect()),
    }
}

fn unrecorded() -> Failure {
    Failure::temporary("the audit log took no entry", "Nothing was sent, and nothing is lost. Try again.")
}

fn key_away() -> Failure {
    let advice = "Nothing is lost. The log tells why; `local-vault custody selftest` tries each key.";
    Failure::unavailable(format!("the signing key gave no signature ({KEY_AWAY})"), advice)
}

/// What is stopped is not sent, however often it is drained.
fn released(vault: &Vault) -> Result<(), Failure> {
    let stopped = vault.reader()?.stopped()?.len();
    if stopped == 0 {
        return Ok(());
    }
    let streams = if stopped == 1 { "1 stream is".to_owned() } else { format!("{stopped} streams are") };
    let advice = "Nothing is lost. `local-vault spool stats` names them; `local-vault spool release` lets one go on.";
    Err(Failure::refused(format!("{streams} stopped by receipts that contradict each other"), advice))
}

/// Ended by a signal: done only where nothing is left.
fn stopped(vault: &Vault, count: &Count) -> Result<u8, Failure> {
    let left = queued(vault)?;
    if left == 0 {
        return count.verdict();
    }
    Err(Failure::temporary(format!("stopped with {left} to send"), "Nothing is lost. Run it again to go on."))
}

fn queued(vault: &Vault) -> Result<u64, Failure> {
    let totals = vault.reader()?.totals()?;
    Ok(totals.iter().filter(|t| t.state == State::Queued).map(|t| t.events).sum())
}

/// What a drain did.
#[derive(Default)]
struct Count {
    receipted: u64,
    conflict: u64,
    dead: u64,
    last_error: Option<String>,
}

impl Count {
    fn add(&mut self, outcome: &Outcome) {
        match outcome.state {
            State::Receipted => self.receipted += 1,
            State::Conflict => self.conflict += 1,
            State::Dead => self.dead += 1,
            State::Queued | State::Relaying => {}
        }
        if outcome.error.is_some() {
            self.last_error.clone_from(&outcome.error);
        }
    }

    fn line(&self) -> String {
        format!("receipted {}, conflict {}, dead {}", self.receipted, self.conflict, self.dead)
    }

    /// Why the last send that failed did.
    fn reason(&self) -> &str {
        self.last_error.as_deref().unwrap_or("parked earlier")
    }

    fn verdict(&self) -> Result<u8, Failure> {
        if self.conflict + self.dead == 0 {
            return Ok(0);
        }
        let message = format!("{} will never be delivered", self.conflict + self.dead);
        Err(Failure::data(message, "See: local-vault spool list --state conflict (or --state dead)"))
    }
}

fn object(outcome: &Outcome) -> Object {
    Object::new()
        .with("eventId", outcome.event_id.to_string())
        .with("streamId", outcome.stream_id.as_str())
        .with("sourceRef", outcome.source_ref.as_str())
        .with("attempt", outcome.attempt)
        .with("state", outcome.state.name())
        .with("statusCode", outcome.status.map(u32::from))
        .with("error", outcome.error.clone())
}
