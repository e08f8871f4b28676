use std::time::Duration;

use clap::Args;

use super::integer::integer;
use crate::cli::failure::Failure;
use crate::cli::metrics::Exporter;
use crate::cli::output::Output;
use crate::cli::relay::{Change, Condition};
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::config::Flags;
use crate::protocol::json::{Object, Value};
use crate::relay::{Drain, KEY_AWAY, Outcome, Step};
use crate::spool::{Gate, PAYLOAD_DRIFT};

#[derive(Debug, Args)]
pub(in crate::cli) struct DestinationArgs {
    /// Whom to relay for
    #[arg(long)]
    installation_id: Option<String>,
    /// The events endpoint
    #[arg(long)]
    endpoint_url: Option<String>,
    /// The name under which the platform knows the signing key
    #[arg(long)]
    key_id: Option<String>,
    /// Count every failed send towards the dead letters, outages too, as the published package does
    #[arg(long)]
    dead_letter_like_published: bool,
}

impl DestinationArgs {
    pub(in crate::cli) fn flags(&self, flags: Flags) -> Flags {
        Flags {
            installation_id: self.installation_id.clone(),
            endpoint_url: self.endpoint_url.clone(),
            key_id: self.key_id.clone(),
            ..flags
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DrainOnceArgs {
    #[command(flatten)]
    pub(in crate::cli) destination: DestinationArgs,
}

const EXAMPLES: &str = "\
Examples:
  local-vault drain-once                                          one event
  local-vault drain-loop --idle-sleep-seconds 1                   as a service
  local-vault drain-loop --max-iterations 100 --stop-on-error     from cron";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DrainLoopArgs {
    #[command(flatten)]
    pub(in crate::cli) destination: DestinationArgs,
    /// How long to sleep when there is nothing to send [default: 5.0]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    idle_sleep_seconds: Option<f64>,
    /// End after so many events and idle looks
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = integer)]
    max_iterations: Option<i128>,
    /// End with exit code 2 at the first event that is not delivered
    #[arg(long)]
    stop_on_error: bool,
}

/// What `--stop-on-error` ends with.
const STOPPED_ON_ERROR: u8 = 2;

pub(in crate::cli) async fn run_once(vault: Vault, args: DrainOnceArgs) -> Result<u8, Failure> {
    let mut drain = vault.drain(args.destination.dead_letter_like_published, false).await?;
    match drain.next(1).await? {
        Step::Settled(outcome) => {
            print(&outcome)?;
            refuse_drift(&outcome)?;
        }
        Step::Idle { gate, .. } => {
            print_idle(gate)?;
        }
    }
    Ok(0)
}

pub(in crate::cli) async fn run_loop(vault: Vault, args: DrainLoopArgs) -> Result<u8, Failure> {
    let idle = args.idle_sleep_seconds.unwrap_or(vault.settings.relay.idle_sleep);
    let idle = Duration::try_from_secs_f64(idle)
        .map_err(|_| Failure::usage("--idle-sleep-seconds must be non-negative", "Give seconds, such as 5."))?;
    let left = match args.max_iterations {
        None => usize::MAX,
        Some(n) if n > 0 => usize::try_from(n).unwrap_or(usize::MAX),
        Some(_) => {
            return Err(Failure::usage("--max-iterations must be at least 1", "Leave it out to go on for ever."));
        }
    };
    let stop = Stop::listen()?;
    vault.log.change_on_signal()?;
    let exporter = Exporter::start(&vault).await?;
    let like_published = args.destination.dead_letter_like_published;
    let mut looped = Loop { vault, like_published, drain: None, condition: Condition::default(), exporter };
    let done = go_on(&mut looped, stop, left, idle, args.stop_on_error).await;
    looped.exporter.end().await;
    done
}

/// Looks and sends until somebody asks it to end, or there were `left` looks.
async fn go_on(
    looped: &mut Loop,
    mut stop: Stop,
    mut left: usize,
    idle: Duration,
    stop_on_error: bool,
) -> Result<u8, Failure> {
    while !stop.is_asked() {
        let (sent, failed) = match looped.next(left).await? {
            Looked::Settled(outcome) => (outcome.is_sent(), print(&outcome)?),
            Looked::Idle(gate) => (false, print_idle(gate)?),
            Looked::Away => (false, print_away()?),
        };
        left -= 1;
        if failed && stop_on_error {
            looped.finish().await?;
            return Ok(STOPPED_ON_ERROR);
        }
        if left == 0 {
            break;
        }
        // As published, but never while other streams have something under way.
        if !sent && looped.is_quiet() {
            stop.sleep(idle).await;
        }
    }
    looped.finish().await?;
    Ok(0)
}

/// A relay that stays up while its keys are away, and goes on by itself when they are back.
struct Loop {
    vault: Vault,
    like_published: bool,
    /// None as long as the keys were not there yet.
    drain: Option<Drain>,
    condition: Condition,
    exporter: Exporter,
}

/// What one look showed.
enum Looked {
    Settled(Outcome),
    Idle(Gate),
    /// The device that holds the keys is away.
    Away,
}

impl Loop {
    async fn next(&mut self, budget: usize) -> Result<Looked, Failure> {
        match self.step(budget).await {
            Ok(Step::Settled(outcome)) => {
                note(self.condition.saw(&outcome, &self.exporter));
                Ok(Looked::Settled(outcome))
            }
            Ok(Step::Idle { gate, .. }) => Ok(Looked::Idle(gate)),
            Err(failure) if failure.is_away() => {
                note(self.condition.lacks(&failure, &self.exporter));
                Ok(Looked::Away)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn step(&mut self, budget: usize) -> Result<Step, Failure> {
        let drain = match &mut self.drain {
            Some(drain) => drain,
            none => {
                let drain = none.insert(self.vault.drain(self.like_published, false).await?);
                self.exporter.watch(drain)?;
                drain
            }
        };
        Ok(drain.next(budget).await?)
    }

    fn is_quiet(&self) -> bool {
        self.drain.as_ref().is_none_or(Drain::is_quiet)
    }

    /// Ends what is in flight, and tells of it.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(drain) = &mut self.drain else { return Ok(()) };
        loop {
            match drain.next(0).await.map_err(Failure::from) {
                Ok(Step::Settled(outcome)) => {
                    print(&outcome)?;
                }
                // What is in flight is taken back by the next relay.
                Err(failure) if !failure.is_away() => return Err(failure),
                Ok(Step::Idle { .. }) | Err(_) => return Ok(()),
            }
        }
    }
}

/// Tells once when nothing can be signed, and once when it can be again.
fn note(change: Option<Change>) {
    match change {
        Some(Change::Degraded(why)) => {
            Output::new().note(&format!("Degraded: {why}. Nothing is lost; looking for it."));
        }
        Some(Change::Recovered) => Output::new().note("Recovered: events are signed again."),
        None => {}
    }
}

/// Prints an outcome; true where it is an error.
fn print(outcome: &Outcome) -> Result<bool, Failure> {
    line(outcome.error.as_deref(), Some(outcome.event_id.to_string()), outcome.is_sent(), outcome.status)?;
    Ok(outcome.error.is_some())
}

/// Prints an idle look; true where it is an error: nothing will be sent again before an operator has looked.
fn print_idle(gate: Gate) -> Result<bool, Failure> {
    let error = match gate {
        Gate::Revoked => Some("installation-revoked"),
        Gate::Suspect => Some("receiver-ahead-of-spool"),
        Gate::Open | Gate::Parked { .. } | Gate::Paused | Gate::Probe => None,
    };
    line(error, None, false, None)?;
    Ok(error.is_some())
}

/// Prints a look while the keys are away, which is an error.
fn print_away() -> Result<bool, Failure> {
    line(Some(KEY_AWAY), None, false, None)?;
    Ok(true)
}

fn line(error: Option<&str>, event_id: Option<String>, sent: bool, status: Option<u16>) -> Result<(), Failure> {
    let line = Object::new()
        .with("error", error.map_or(Value::Null, Value::from))
        .with("eventId", event_id)
        .with("sent", sent)
        .with("statusCode", status.map(u32::from));
    Output::new().json(&line)
}

/// The published `drain-once` ends with 1 where a record is damaged.
fn refuse_drift(outcome: &Outcome) -> Result<(), Failure> {
    if outcome.error.as_deref() != Some(PAYLOAD_DRIFT) {
        return Ok(());
    }
    Err(Failure::data(
        format!("the record of event {} is damaged", outcome.event_id),
        "It was set aside as dead, and nothing of it was sent. The rest of its stream goes on.",
    ))
}
