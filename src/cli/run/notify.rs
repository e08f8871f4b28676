use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::look::Look;
use super::relaying::Ping;
use crate::cli::status::summary;
use crate::spool::{Spool, SpoolError};
use crate::store::StoreError;

/// Between two lines for `systemctl status`, where no watchdog asks for more.
const EVERY: Duration = Duration::from_secs(5);

/// The state of a service that ends, whatever the spool and the relay answer meanwhile.
const ENDS: &str = "ends what is under way";

/// Tells systemd that the service is ready, how it is, and that it lives (sd_notify(3)).
pub(super) struct Pulse {
    pub(super) look: Arc<Look>,
    pub(super) spool: watch::Receiver<Option<Arc<Spool>>>,
    pub(super) relay: mpsc::Sender<Ping>,
    pub(super) known: watch::Receiver<bool>,
    /// Becomes true when the service begins to end.
    pub(super) ends: watch::Receiver<bool>,
}

impl Pulse {
    /// Goes on until it is ended. Returns at once where nobody listens.
    pub(super) async fn go_on(mut self) {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        let watchdog = sd_notify::watchdog_enabled();
        // Four times within the time after which systemd gives the service up: a look takes as long again.
        let every = watchdog.map_or(EVERY, |limit| (limit / 4).min(EVERY));
        let mut ends = self.ends.clone();
        tokio::select! {
            biased;
            // Its sender lives as long as the service.
            _ = ends.wait_for(|ends| *ends) => {}
            () = self.beat(every, watchdog.is_some()) => {}
        }
        // How long that may take is systemd's to know by another time.
        loop {
            tell(&[NotifyState::Status(ENDS)]);
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
            sleep(every).await;
        }
    }

    /// Tells how the service is, for as long as it lives.
    async fn beat(&mut self, every: Duration, is_watched: bool) {
        let _ = self.known.wait_for(|known| *known).await;
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status().await)]);
        loop {
            // A device that hangs is no reason to end the service: neither answer waits for one.
            if timeout(every, self.lives()).await.unwrap_or(false) {
                if is_watched {
                    tell(&[NotifyState::Watchdog]);
                }
                if let Ok(status) = timeout(every, self.status()).await {
                    tell(&[NotifyState::Status(&status)]);
                }
            } else if self.relay.is_closed() {
                // It has ended by itself, and the service is about to.
                return;
            } else {
                tracing::error!("the spool or the relay does not answer");
                tell(&[NotifyState::Status("the spool or the relay does not answer")]);
            }
            sleep(every).await;
        }
    }

    async fn status(&self) -> String {
        summary(&self.look.status().await)
    }

    /// Whether the relay runs and the spool's writer answers, whatever it says.
    async fn lives(&self) -> bool {
        let (ping, pong) = oneshot::channel();
        let relay = self.relay.send(ping).await.is_ok() && pong.await.is_ok();
        let spool = self.spool.borrow().clone();
        let stopped = Err(SpoolError::Store(StoreError::Stopped));
        relay
            && match spool {
                Some(spool) => spool.destination().await.map(drop) != stopped,
                None => true,
            }
    }
}

/// The config file is read again; [`reloaded`] ends that.
pub(super) fn reloading() {
    // systemd tells by the time which reload this is.
    let now = NotifyState::monotonic_usec_now();
    tell(&[Some(NotifyState::Reloading), now.ok()].into_iter().flatten().collect::<Vec<_>>());
}

pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status(ENDS)]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(%error, "systemd was not told");
    }
}
