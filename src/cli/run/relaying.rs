use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::health::Health;
use crate::cli::apart::apart;
use crate::cli::failure::Failure;
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::config::Bounds;
use crate::facts::Timestamp;
use crate::ingest::{Desk, Ingest};
use crate::relay::{Drain, Step};
use crate::spool::Spool;

/// Between two tries to reach what is away.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// How long a device may take before it is said that it does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody who wants to know whether the relay still runs.
pub(super) type Ping = oneshot::Sender<()>;

/// Opens the spool and relays it, for as long as the service runs: what is away is tried again, and the relay goes on
/// when it is back.
pub(super) struct Relaying {
    pub(super) vault: Arc<Vault>,
    pub(super) health: Arc<Health>,
    /// Told of the spool once it is open.
    pub(super) spool: watch::Sender<Option<Arc<Spool>>>,
    /// Told of where events are brought to.
    pub(super) desk: Arc<watch::Sender<Option<Arc<Desk>>>>,
    /// How much the spool takes, which a reload changes.
    pub(super) bounds: watch::Receiver<Bounds>,
    /// Streams that are sent at once, which a reload changes.
    pub(super) parallel: Arc<AtomicUsize>,
    /// Rings when something was spooled.
    pub(super) wake: Arc<Notify>,
    /// Whether the service has other work, which goes on whatever becomes of the relay.
    pub(super) is_beside: bool,
    pub(super) stop: Stop,
}

/// The spool and where it lies.
type Opened = (Arc<Spool>, PathBuf);

/// Does `work`, and answers pings meanwhile: who blocks the thread that this runs on does not answer.
pub(super) async fn answering<T>(mut pings: mpsc::Receiver<Ping>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            // Whoever asked may have gone.
            Some(ping) = pings.recv() => drop(ping.send(())),
        }
    }
}

impl Relaying {
    /// Returns when the service is to end and nothing is in flight, or with what no waiting mends.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let mut wait = FIRST;
        while !self.stop.is_asked() {
            match self.relay(&mut wait).await {
                Err(failure) if failure.is_away() || failure.is_temporary() => {
                    self.health.lacks(&failure);
                    self.stop.sleep(wait).await;
                    wait = (wait * 2).min(LONGEST);
                }
                Err(failure) if self.is_beside => {
                    // What is open may be what failed.
                    self.desk.send_replace(None);
                    self.spool.send_replace(None);
                    self.health.lacks(&failure);
                    self.stop.sleep(wait).await;
                    wait = (wait * 2).min(LONGEST);
                }
                done => return done,
            }
        }
        Ok(())
    }

    async fn relay(&mut self, wait: &mut Duration) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let opening = async {
            let opened = self.open().await?;
            self.drain_on(opened).await
        };
        let mut drain = tokio::select! {
            drain = opening => drain?,
            () = stop.asked() => return Ok(()),
        };
        self.health.exporter().watch(&drain)?;
        self.health.is_whole();
        *wait = FIRST;
        self.go_on(&mut drain).await
    }

    /// The spool, opened once, and the desk in front of it.
    async fn open(&self) -> Result<Opened, Failure> {
        let open = self.spool.borrow().clone();
        if let Some(spool) = open {
            return Ok((spool, self.vault.spool_path()?));
        }
        let vault = self.vault.clone();
        let opening = apart("open", move |runtime| {
            let opened = runtime.block_on(vault.spool_and_path())?;
            Ok((opened, vault.configured_attestor()?))
        });
        let ((spool, path), attestor) = self.patiently(opening).await?;
        tokio::spawn(bound(spool.clone(), self.bounds.clone()));
        let ingest = Ingest::new(spool.clone(), self.vault.audit()?);
        self.desk.send_replace(Some(Arc::new(Desk { ingest, attestor })));
        self.spool.send_replace(Some(spool.clone()));
        Ok((spool, path))
    }

    async fn drain_on(&self, (spool, path): Opened) -> Result<Drain, Failure> {
        let vault = self.vault.clone();
        let starting = apart("relay", move |runtime| runtime.block_on(vault.drain_on(&path, spool)));
        self.patiently(starting).await
    }

    /// Waits for a device however long it takes, and does not hide that.
    async fn patiently<T>(
        &self,
        work: impl Future<Output = Result<Result<T, Failure>, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        if let Ok(done) = timeout(PATIENCE, &mut work).await {
            return done?;
        }
        self.health.lacks(&Failure::unavailable("a device or the disk does not answer", "Look at it."));
        work.await?
    }

    async fn go_on(&mut self, drain: &mut Drain) -> Result<(), Failure> {
        loop {
            drain.set_parallel(self.parallel.load(Ordering::Relaxed));
            let budget = if self.stop.is_asked() { 0 } else { usize::MAX };
            match drain.next(budget).await? {
                Step::Settled(outcome) => self.health.settled(&outcome),
                Step::Idle { .. } if self.stop.is_asked() => return Ok(()),
                Step::Idle { until, .. } => self.rest(until).await,
            }
        }
    }

    /// Until something may be ready. What other processes spool is looked for now and then.
    async fn rest(&mut self, until: Option<Timestamp>) {
        let idle = Duration::try_from_secs_f64(self.vault.settings.relay.idle_sleep).unwrap_or(LONGEST);
        let left = until.map(|until| until.as_millis().saturating_sub(self.vault.clock.now().as_millis()).max(10));
        let time = left.map_or(idle, |left| idle.min(Duration::from_millis(left.unsigned_abs())));
        tokio::select! {
            () = self.stop.sleep(time) => {}
            () = self.wake.notified() => {}
        }
    }
}

/// Lets a reload change how much the open spool takes, and how long it keeps what is settled.
async fn bound(spool: Arc<Spool>, mut bounds: watch::Receiver<Bounds>) {
    loop {
        let Bounds { limits, retention } = *bounds.borrow_and_update();
        spool.set_bounds(limits, retention);
        if bounds.changed().await.is_err() {
            return;
        }
    }
}
