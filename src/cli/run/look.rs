use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::health::Health;
use crate::cli::apart::apart;
use crate::cli::status::{blind, collect};
use crate::cli::vault::Vault;
use crate::protocol::json::Object;

/// How long the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status of this service, for whoever asks and however its disk is.
pub(super) struct Look {
    vault: Arc<Vault>,
    health: Arc<Health>,
    /// Looks that have begun.
    begun: AtomicU64,
    /// One at a time: the last one by its number, and what was seen.
    last: Mutex<(u64, Object)>,
    /// Whether an earlier look has not come back.
    hangs: Arc<AtomicBool>,
}

impl Look {
    pub(super) fn new(vault: Arc<Vault>, health: Arc<Health>) -> Self {
        Self { vault, health, begun: AtomicU64::new(0), last: Mutex::new((0, Object::new())), hangs: Arc::default() }
    }

    /// The whole status. A disk that does not answer leaves out what only it knows, and that is said.
    /// Whoever asks while another look is under way shares the next one with all who do, so that many who ask are no
    /// more work than one.
    pub(super) async fn status(&self) -> Object {
        let begun = self.begun.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if last.0 <= begun {
            let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            *last = (number, self.look().await);
        }
        last.1.clone()
    }

    async fn look(&self) -> Object {
        let live = self.health.live();
        // There is one thread at most that waits for the disk.
        if self.hangs.swap(true, Ordering::AcqRel) {
            return blind(&self.vault, &live);
        }
        let (vault, told, hangs) = (self.vault.clone(), live.clone(), self.hangs.clone());
        let looking = apart("status", move |_| {
            let status = collect(&vault, &told);
            hangs.store(false, Ordering::Release);
            status
        });
        match timeout(PATIENCE, looking).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) | Err(_) => blind(&self.vault, &live),
        }
    }
}
