use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span};

use super::Client;
use super::delivery::Delivery;
use super::exchange::Exchange;
use super::halt::Halt;
use super::log;
use super::metrics::{Cause, Metrics};
use super::outcome::{Ended, Outcome, Sent};
use crate::audit::{self, Audit};
use crate::custody::Signer;
use crate::facts::{Clock, Timestamp};
use crate::spool::{Became, Event, Gate, PAYLOAD_DRIFT, Spool, SpoolError, State};
use crate::store::RoleLock;

/// What a relay is made of.
#[derive(Debug)]
pub struct DrainConfig {
    /// Whom it relays for.
    pub installation_id: String,
    /// Sends at once, each in a stream of its own.
    pub parallel: usize,
    /// Whether an outage counts against the event, as the published package counts it.
    pub count_every_failure: bool,
    /// Where it is written down what was sent and what came back.
    pub audit: Arc<Audit>,
}

/// Drains the spool: order within a stream, streams in parallel, every state change on the disk before it matters.
///
/// There is one for a spool; the role lock sees to that.
#[derive(Debug)]
pub struct Drain {
    spool: Arc<Spool>,
    exchange: Arc<Exchange>,
    parallel: usize,
    in_flight: JoinSet<Ended>,
    /// Of which event each of them is.
    leased: HashMap<Id, i64>,
    /// Events whose send broke off.
    broken: Vec<i64>,
    ended: Vec<Ended>,
    outcomes: VecDeque<Outcome>,
    turned: Instant,
    was_parked: bool,
    metrics: Metrics,
    /// Tells in the log whose lines these are, where that is not the relay of the events.
    span: Span,
    _role: RoleLock,
}

/// What one step of a drain showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A send ended, and is settled.
    Settled(Outcome),
    /// Nothing is in flight and nothing may be sent now.
    Idle {
        /// What may be sent.
        gate: Gate,
        /// When something may be ready, where that is known.
        until: Option<Timestamp>,
    },
}

/// How often the spool is looked at for other streams while a send is out.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How soon one turn may follow on another while most sends are still out. What ends meanwhile is settled together, in
/// one transaction and with one fsync; where sends take longer than this, nothing waits for it.
const TOGETHER: Duration = Duration::from_millis(2);

impl Drain {
    /// Takes the relay's role on the spool at `path`, ties the spool to the installation, and takes back what an
    /// earlier relay had in flight. [`StoreError::Busy`](crate::store::StoreError::Busy): another relay has the role.
    pub async fn start(
        path: &Path,
        spool: Arc<Spool>,
        signer: Signer,
        client: Client,
        clock: Arc<dyn Clock>,
        config: DrainConfig,
    ) -> Result<Self, SpoolError> {
        if spool.feed_position().await?.is_some() {
            return Err(SpoolError::OtherUse { is_outbox: true });
        }
        Self::take_role(path, spool, Delivery::Envelope(signer), client, clock, config).await
    }

    /// The same for a witness's outbox: posts each payload as it is, without an envelope, to what `client` leads to.
    pub(super) async fn start_outbox(
        path: &Path,
        spool: Arc<Spool>,
        client: Client,
        clock: Arc<dyn Clock>,
        config: DrainConfig,
    ) -> Result<Self, SpoolError> {
        Self::take_role(path, spool, Delivery::Payload, client, clock, config).await
    }

    async fn take_role(
        path: &Path,
        spool: Arc<Spool>,
        delivery: Delivery,
        client: Client,
        clock: Arc<dyn Clock>,
        config: DrainConfig,
    ) -> Result<Self, SpoolError> {
        let role = RoleLock::take(path, "relay")?;
        spool.bind(&config.installation_id).await?;
        let recovered = spool.recover().await?;
        if recovered > 0 {
            tracing::info!(events = recovered, "taken back from a relay that ended while sending");
        }
        let metrics = Metrics::default();
        let span = log::drain_span(&delivery);
        let exchange = Exchange {
            client,
            delivery,
            clock,
            installation_id: config.installation_id,
            count_every_failure: config.count_every_failure,
            audit: config.audit,
            halt: Halt::default(),
            metrics: metrics.clone(),
        };
        Ok(Self {
            spool,
            exchange: Arc::new(exchange),
            parallel: config.parallel,
            in_flight: JoinSet::new(),
            leased: HashMap::new(),
            broken: Vec::new(),
            ended: Vec::new(),
            outcomes: VecDeque::new(),
            turned: Instant::now(),
            was_parked: false,
            metrics,
            span,
            _role: role,
        })
    }

    /// Lets `registry` gather what the relay measures, and what its spool and its signer do. One relay a registry: one of
    /// an outbox beside it needs another, with a prefix.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)?;
        self.spool.register(registry)?;
        match &self.exchange.delivery {
            Delivery::Envelope(signer) => signer.register(registry),
            Delivery::Payload => Ok(()),
        }
    }

    /// The next step. Begins sends as long as fewer than `budget` are under way or waiting to be told of; with a
    /// budget of 0 it only ends what is in flight.
    ///
    /// Not to be dropped before it answers: what came back is then settled by the next relay, as a replay.
    pub async fn next(&mut self, budget: usize) -> Result<Step, SpoolError> {
        let span = self.span.clone();
        self.step(budget).instrument(span).await
    }

    async fn step(&mut self, budget: usize) -> Result<Step, SpoolError> {
        loop {
            if let Some(outcome) = self.outcomes.pop_front() {
                return Ok(Step::Settled(outcome));
            }
            self.gather().await;
            let room = budget.saturating_sub(self.ended.len()).min(self.parallel).saturating_sub(self.in_flight.len());
            let due = room > 0 || !self.ended.is_empty() || !self.broken.is_empty() || self.in_flight.is_empty();
            if due && let Some(idle) = self.turn(room).await? {
                return Ok(idle);
            }
            if self.outcomes.is_empty() {
                self.wait(room > 0).await;
            }
        }
    }

    /// Sends in so many streams at once from now on.
    pub const fn set_parallel(&mut self, parallel: usize) {
        self.parallel = parallel;
    }

    /// Whether nothing is in flight or waiting to be told of, so that a pause keeps nothing waiting.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.ended.is_empty() && self.broken.is_empty() && self.outcomes.is_empty()
    }

    /// Settles what ended and begins what there is room for. An idle step where neither left anything to wait for.
    async fn turn(&mut self, room: usize) -> Result<Option<Step>, SpoolError> {
        let ended = std::mem::take(&mut self.ended);
        let (mut settlements, mut told) = (Vec::with_capacity(ended.len()), Vec::with_capacity(ended.len()));
        for Ended { seq, settlement, sent } in ended {
            settlements.push((seq, settlement));
            told.push(sent);
        }
        settlements.extend(self.broken.drain(..).map(|seq| (seq, self.exchange.put_back())));
        self.turned = Instant::now();
        let lease = self.spool.turn(settlements, room).await?;
        let revocations = told.iter().filter(|sent| sent.outcome.revoked).count();
        self.exchange.halt.turned(revocations, lease.gate);
        self.tell(told, &lease.became);
        self.was_parked = log::say_gate(lease.gate, self.was_parked);
        lease.damaged.iter().for_each(|event| self.metrics.ended(event.state, None));
        self.outcomes.extend(lease.damaged.into_iter().map(|event| set_aside(event, &self.exchange.audit)));
        for leased in lease.leased {
            let (exchange, span, seq) = (self.exchange.clone(), log::span(&leased), leased.event.seq);
            let send = async move { exchange.run(leased, lease.probes_failed).await }.instrument(span);
            self.leased.insert(self.in_flight.spawn(send).id(), seq);
        }
        if let Some(blocked) = lease.blocked {
            return Err(blocked);
        }
        let nothing = self.outcomes.is_empty() && self.in_flight.is_empty();
        let until = match lease.gate {
            Gate::Parked { until } => Some(until),
            Gate::Open | Gate::Probe => lease.next_ready_at,
            Gate::Paused | Gate::Revoked | Gate::Suspect => None,
        };
        Ok(nothing.then_some(Step::Idle { gate: lease.gate, until }))
    }

    /// Tells what became of the sends that ended, now that it is on the disk: the spool has the last word on each.
    fn tell(&mut self, ended: Vec<Sent>, became: &[Became]) {
        let mut notes = Vec::with_capacity(ended.len());
        for (sent, became) in ended.into_iter().zip(became) {
            let sent = sent.settled_as(became.state);
            self.metrics.ended(sent.outcome.state, sent.cause);
            notes.push(sent.note);
            sent.span.in_scope(|| sent.told.say(&sent.outcome, &self.exchange.installation_id));
            self.outcomes.push_back(sent.outcome);
        }
        // Nobody waits for that: the spool keeps the answers.
        self.exchange.audit.note_all(notes);
        for alarm in became.iter().filter_map(|became| became.alarm.as_ref()) {
            self.exchange.audit.note(audit::Event::incident(alarm.what, &alarm.event_id.to_string()));
            self.metrics.alarm();
            log::say_alarm(alarm);
        }
    }

    /// Waits until a send ends, or for a moment only where other streams may have become ready.
    async fn wait(&mut self, room: bool) {
        if self.in_flight.is_empty() {
            return;
        }
        tokio::select! {
            ended = self.in_flight.join_next_with_id() => self.note(ended),
            () = sleep(LOOK_AGAIN), if room => {}
        }
    }

    /// Takes in what has ended meanwhile, so that one transaction settles all of it.
    async fn gather(&mut self) {
        let until = self.turned + TOGETHER;
        while self.in_flight.len() > self.ended.len() {
            let Ok(ended) = timeout_at(until, self.in_flight.join_next_with_id()).await else { break };
            self.note(ended);
        }
        while let Some(ended) = self.in_flight.try_join_next_with_id() {
            self.note(Some(ended));
        }
    }

    fn note(&mut self, ended: Option<Result<(Id, Ended), JoinError>>) {
        match ended {
            Some(Ok((id, ended))) => {
                self.leased.remove(&id);
                self.ended.push(ended);
            }
            // A defect of ours: whether it was sent nobody knows, so it is sent again.
            Some(Err(broken)) => {
                self.broken.extend(self.leased.remove(&broken.id()));
                self.metrics.ended(State::Relaying, Some(Cause::Other));
                tracing::error!("a send broke off");
            }
            None => {}
        }
    }
}

fn set_aside(event: Event, audit: &Audit) -> Outcome {
    audit.note(audit::Event::incident("a damaged record was set aside", &event.event_id.to_string()));
    tracing::error!(event = %event.event_id, "the record is damaged; it was set aside and nothing of it was sent");
    Outcome {
        event_id: event.event_id,
        stream_id: event.stream_id,
        source_ref: event.source_ref,
        attempt: event.attempt,
        state: State::Dead,
        status: None,
        error: Some(PAYLOAD_DRIFT.into()),
        revoked: false,
    }
}
