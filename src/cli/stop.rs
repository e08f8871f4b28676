use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::Failure;

/// How often somebody asked this process to end (SIGTERM, SIGINT).
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// From now on the signals ask, and no longer kill.
    pub(super) fn listen() -> Result<Self, Failure> {
        let (asked, stop) = watch::channel(0);
        let listen = |kind| signal(kind).map_err(|e| Failure::software(format!("cannot listen for signals: {e}")));
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                asked.send_modify(|times| *times += 1);
            }
        });
        Ok(Self(stop))
    }

    /// Whether to end.
    pub(super) fn is_asked(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Returns when asked to end.
    pub(super) async fn asked(&self) {
        self.times(1).await;
    }

    /// Returns when asked a second time.
    pub(super) async fn asked_again(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u32) {
        // Where nobody can ask any more, nobody will.
        if self.0.clone().wait_for(|asked| *asked >= times).await.is_err() {
            std::future::pending().await
        }
    }

    /// Sleeps, or returns early when asked to end.
    pub(super) async fn sleep(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.asked() => {}
        }
    }
}
