use clap::Subcommand;

use super::failure::Failure;
use super::output::{Output, printable, progress};
use super::stop::Stop;
use super::vault::Vault;
use crate::custody::Purpose;
use crate::facts::random_id;
use crate::ingest::{Ingest, check_id};
use crate::protocol::json::Object;
use crate::relay::{Drain, DrainConfig, Endpoint, Outcome, Step};
use crate::spool::{Destination, Gate, SpoolError, SpoolReader, State};
use crate::store::StoreError;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  local-vault relay test                                          before cut-over: one marked event, and its receipt
  local-vault relay drain --json
  local-vault relay status
  local-vault relay resume --installation-id ins_new              after a revocation and a re-enrolment")]
pub(super) enum RelayCommand {
    /// Send what is spooled, with a progress bar, until all of it is settled or the receiver is away
    Drain {
        /// One JSON object an event
        #[arg(long)]
        json: bool,
    },
    /// Show where the spool relays to and what holds it back
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Hold the relay back; events are spooled all the same
    Pause,
    /// End a pause, and probe a parked receiver at once
    Resume {
        /// The new installation after a re-enrolment: the only way out of a revocation
        #[arg(long, value_name = "NEW")]
        installation_id: Option<String>,
    },
    /// Prove the receiver with one marked event, beside the spool: nothing that is spooled is sent
    Test {
        /// The stream of the marked event
        #[arg(long, default_value = "local-vault-relay-test")]
        stream_id: String,
    },
}

pub(super) async fn run(vault: Vault, command: RelayCommand) -> Result<u8, Failure> {
    match command {
        RelayCommand::Drain { json } => drain(&vault, json).await,
        RelayCommand::Status { json } => status(&vault, json),
        RelayCommand::Pause => {
            vault.spool().await?.pause().await?;
            Output::new().line("paused; `local-vault relay resume` goes on")?;
            Ok(0)
        }
        RelayCommand::Resume { installation_id } => resume(&vault, installation_id).await,
        RelayCommand::Test { stream_id } => test(&vault, &stream_id).await,
    }
}

async fn drain(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let mut stop = Stop::listen()?;
    let mut drain = vault.drain(false, true).await?;
    let waiting = vault.reader()?.totals()?.iter().filter(|t| t.state == State::Queued).map(|t| t.events).sum();
    let bar = progress(waiting, "relaying");
    let mut count = Count::default();
    let gate = loop {
        let budget = if stop.is_asked() { 0 } else { usize::MAX };
        match drain.next(budget).await? {
            Step::Settled(outcome) => {
                count.add(&outcome);
                if !matches!(outcome.state, State::Queued) {
                    bar.inc(1);
                }
                if json {
                    bar.suspend(|| Output::new().json(&object(&outcome)))?;
                }
            }
            // An event that was judged against is due again in a moment: that is not the end.
            Step::Idle { gate: Gate::Open, until: Some(until) } if budget > 0 => {
                let wait = until.as_millis() - vault.clock.now().as_millis();
                stop.sleep(std::time::Duration::from_millis(wait.max(10).unsigned_abs())).await;
            }
            Step::Idle { gate, .. } => break gate,
        }
    };
    bar.finish_and_clear();
    if !json {
        Output::new().line(&count.line())?;
    }
    match gate {
        Gate::Open | Gate::Probe => count.verdict(),
        Gate::Paused => Err(Failure::refused("the relay is paused", "Run: local-vault relay resume")),
        Gate::Parked { until } => Err(Failure::unavailable(
            format!("the receiver is away ({})", count.last_error.unwrap_or_else(|| "parked earlier".into())),
            format!("Nothing is lost. The next probe is due at {until}; `local-vault relay resume` allows one now."),
        )),
        Gate::Revoked => Err(revoked()),
    }
}

fn revoked() -> Failure {
    Failure::refused(
        "the receiver has revoked this installation",
        "The events stay. Re-enrol, then run: local-vault relay resume --installation-id NEW",
    )
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

    fn verdict(&self) -> Result<u8, Failure> {
        if self.conflict + self.dead == 0 {
            return Ok(0);
        }
        let message = format!("{} events were not delivered and never will be", self.conflict + self.dead);
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

fn status(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let destination = vault.reader()?.destination()?;
    let gate = destination.gate(vault.clock.now());
    let output = Output::new();
    let time = |time: Option<crate::facts::Timestamp>| time.map(|time| time.to_string());
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
            .with("parked", parked);
        output.json(&status)?;
        return Ok(0);
    }
    let installation = destination.installation_id.as_deref().map_or_else(|| "-".into(), printable);
    output.line(&format!("state         {}", state(gate)))?;
    output.line(&format!("installation  {installation}"))?;
    output.line(&format!("endpoint      {}", endpoint(vault).unwrap_or_else(|| "-".into())))?;
    held_back(&destination, output)?;
    Ok(0)
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
    if let Some(since) = destination.paused_at {
        output.line(&format!("paused        since {since}; the way out: relay resume"))?;
    }
    if let Some(parked) = &destination.parked {
        let reason = printable(&parked.reason);
        output.line(&format!("parked        since {}: {reason}, {} probes failed", parked.since, parked.failures))?;
        output.line(&format!("next probe    {}", parked.probe_at))?;
    }
    Ok(())
}

const fn state(gate: Gate) -> &'static str {
    match gate {
        Gate::Open => "open",
        Gate::Parked { .. } | Gate::Probe => "parked",
        Gate::Paused => "paused",
        Gate::Revoked => "revoked",
    }
}

async fn resume(vault: &Vault, enrolled: Option<String>) -> Result<u8, Failure> {
    let destination = vault.spool().await?.resume(enrolled).await?;
    if destination.revoked_at.is_some() {
        return Err(revoked());
    }
    Output::new().line("resumed")?;
    Ok(0)
}

/// Sends one marked event by a spool of its own, so that neither the real one's events nor its outages are touched,
/// and what is signed is on the disk first like any other.
async fn test(vault: &Vault, stream_id: &str) -> Result<u8, Failure> {
    check_id("stream_id", stream_id)?;
    let installation_id = vault.installation_id()?.to_owned();
    refuse_revoked(vault, &installation_id)?;
    let scratch = tempdir(vault)?;
    let path = scratch.0.join("spool.sqlite3");
    let spool = std::sync::Arc::new(vault.spool_at(&path)?);
    let source_ref = random_id("relay-test-");
    let marked =
        Object::new().with("event_type", "local_vault.relay.test").with("sent_at", vault.clock.now().to_string());
    Ingest::new(spool.clone()).payload(stream_id, &source_ref, &marked.to_canonical(), true).await?;
    let client = vault.client(Some(&installation_id))?;
    let config = DrainConfig { installation_id, parallel: 1, count_every_failure: false };
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

/// After a revocation nothing is sent for the installation any more, a test neither. A new one may be proved before
/// the relay is resumed for it.
fn refuse_revoked(vault: &Vault, installation_id: &str) -> Result<(), Failure> {
    let reader = match SpoolReader::open(&vault.spool_path()?) {
        Err(SpoolError::Store(StoreError::Missing(_))) => return Ok(()),
        reader => reader?,
    };
    let destination = reader.destination()?;
    let same = destination.installation_id.as_deref() == Some(installation_id);
    if same && destination.revoked_at.is_some() { Err(revoked()) } else { Ok(()) }
}

struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a sealed test event.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempdir(vault: &Vault) -> Result<Scratch, Failure> {
    let mut path = vault.spool_path()?.into_os_string();
    path.push(random_id(".relay-test-"));
    let path = std::path::PathBuf::from(path);
    std::fs::create_dir(&path).map_err(|e| Failure::io(&format!("cannot create {}", path.display()), &e))?;
    Ok(Scratch(path))
}
