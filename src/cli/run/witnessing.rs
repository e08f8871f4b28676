use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::following::follow;
use super::health::Health;
use crate::cli::apart::apart;
use crate::cli::failure::Failure;
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::witness::{Callers, Closing, Counter, Desk, Metrics, Policy, Presence, Submitter, What, Witness};

/// Between two tries to reach what is away.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Opens the witness and keeps it open, for as long as the service runs: what is away is tried again, and so is
/// what an operator has to mend.
pub(super) struct Witnessing {
    pub(super) vault: Arc<Vault>,
    pub(super) health: Arc<Health>,
    pub(super) presence: watch::Sender<Presence>,
    pub(super) metrics: Metrics,
    /// Told of evidence against what comes out of the feed.
    pub(super) forks: mpsc::Sender<Object>,
    pub(super) stop: Stop,
    /// Becomes true once everybody is answered who was let in.
    pub(super) answered: watch::Receiver<bool>,
}

/// Why it is not open.
struct Unopened {
    failure: Failure,
    incident: Option<What>,
}

impl Witnessing {
    /// Returns when everybody is answered and what was decided is written down.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST;
        while !self.stop.is_asked() {
            let opened = tokio::select! {
                opened = self.open() => opened,
                () = self.stop.asked() => return,
            };
            match opened {
                Ok((counter, closing)) => {
                    wait = FIRST;
                    self.health.witness_lacks(None);
                    self.metrics.stopped_is(counter.desk.standing().stopped.is_some());
                    self.presence.send_replace(Presence::There(counter.clone()));
                    tracing::info!(records = counter.desk.standing().floor.count, "the witness is open");
                    let desk = counter.desk.clone();
                    tokio::spawn(async move {
                        if let Err(e) = desk.sign_the_rest().await {
                            tracing::warn!(error = %e, "what a crash interrupted has no signature yet");
                        }
                    });
                    if self.serve(&counter, closing).await {
                        return;
                    }
                }
                Err(unopened) if unopened.is_over_some_day() => self.is_away(&unopened.failure),
                Err(unopened) => {
                    self.stopped(&unopened);
                    // Until an operator has mended it, which shows by itself.
                    wait = LONGEST;
                }
            }
            self.stop.sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// Whether the service ends. Otherwise the desk did, whose store failed.
    async fn serve(&mut self, counter: &Arc<Counter>, mut closing: Closing) -> bool {
        let following = self.follow(counter);
        let answered = async {
            // A sender that is gone says so as well.
            let _ = self.answered.wait_for(|answered| *answered).await;
        };
        tokio::select! {
            () = closing.ended() => {}
            () = answered => {
                if let Some(following) = following {
                    // It ends as the service does, and what it had read it reads again.
                    let _ = following.await;
                }
                self.presence.send_replace(Presence::Ending);
                closing.close(counter.desk.clone()).await;
                return true;
            }
        }
        if let Some(following) = following {
            following.abort();
            // Whoever follows next has the outbox alone.
            let _ = following.await;
        }
        self.is_away(&Failure::unavailable("the witness's store failed, and is opened anew", "Look at its disk."));
        false
    }

    /// Follows the feed, where one is configured.
    fn follow(&self, counter: &Arc<Counter>) -> Option<JoinHandle<()>> {
        self.vault.settings.witness.feed.as_ref()?;
        let (vault, forks, stop) = (self.vault.clone(), self.forks.clone(), self.stop.clone());
        Some(tokio::spawn(follow(vault, counter.clone(), forks, stop)))
    }

    async fn open(&self) -> Result<(Arc<Counter>, Closing), Unopened> {
        let (vault, found) = (self.vault.clone(), Arc::new(Mutex::new(None)));
        let told = found.clone();
        let opening = apart("witness", move |runtime| {
            let mut incident = None;
            let opened = runtime.block_on(vault.checked_witness(&mut incident));
            *told.lock().unwrap_or_else(PoisonError::into_inner) = incident;
            opened
        });
        let opened = match opening.await.and_then(|opened| opened) {
            Ok(witness) => self.open_counter(witness).await,
            Err(failure) => Err(failure),
        };
        let incident = *found.lock().unwrap_or_else(PoisonError::into_inner);
        opened.map_err(|failure| Unopened { failure, incident })
    }

    /// Asks the anchor's device what it is, which may take a while as well.
    async fn open_counter(&self, witness: Witness) -> Result<(Arc<Counter>, Closing), Failure> {
        let (vault, metrics) = (self.vault.clone(), self.metrics.clone());
        let opening = apart("witness", move |_| {
            let (desk, closing) = Desk::measured(witness, metrics)?;
            let settings = &vault.settings.witness;
            let policy = Policy {
                rules: vault.witness_rules(),
                peers: settings.peers.iter().flat_map(|peer| peer.public_keys.clone()).collect(),
                quorum: settings.quorum,
            };
            let counter = Counter::open(desk, vault.witness_id()?, policy, vault.clock.clone())?;
            Ok((counter, closing))
        });
        opening.await?
    }

    fn is_away(&self, failure: &Failure) {
        self.presence.send_replace(Presence::Away);
        self.health.witness_lacks(Some(failure));
    }

    fn stopped(&self, unopened: &Unopened) {
        let name = unopened.incident.map_or("not-opened", What::name);
        self.metrics.stopped_is(true);
        self.presence.send_replace(Presence::Stopped(name.to_owned()));
        self.health.witness_lacks(Some(&unopened.failure));
    }
}

impl Unopened {
    /// Whether waiting helps.
    fn is_over_some_day(&self) -> bool {
        self.incident.is_none() && (self.failure.is_away() || self.failure.is_temporary())
    }
}

/// Who may ask the witness for what.
pub(super) fn callers(vault: &Vault) -> Callers {
    let submitters = vault.settings.witness.submitters.iter().map(|submitter| Submitter {
        name: submitter.name.clone(),
        tenants: submitter.tenants.clone(),
        uid: submitter.uid,
        key: submitter.spki_pin,
        per_second: submitter.checkpoints_per_second,
    });
    Callers::new(submitters.collect(), rustix::process::geteuid().as_raw())
}

/// How the witness is, for the status.
pub(super) fn status(presence: &Presence) -> Object {
    let standing = match presence {
        Presence::Away => return Object::new().with("state", "away"),
        Presence::Ending => return Object::new().with("state", "ending"),
        Presence::Stopped(incident) => {
            return Object::new().with("state", "stopped").with("incident", incident.as_str());
        }
        Presence::There(counter) => counter.desk.standing(),
    };
    Object::new()
        .with("state", if standing.stopped.is_some() { "stopped" } else { "ok" })
        .with("incident", standing.stopped)
        .with("records", standing.floor.count)
        .with("anchor", standing.anchor.map_or("none", |kind| kind.name()))
        .with("anchored", standing.anchored)
        .with("authenticated", standing.is_authenticated)
}
