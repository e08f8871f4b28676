use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::hook;
use crate::cli::apart::apart;
use crate::cli::vault::Vault;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::ForkEvidence;
use crate::witness::{Fork, Metrics, Presence};

/// Forks that wait to be told of, and those that wait for the hook.
pub(super) const WAITING: usize = 256;
const HOOKS: usize = 16;

/// The signature of evidence is written down by the next turn, which follows at once: so often, and so long between,
/// it is looked for.
const LOOKS: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Tells of forks: the log, the audit log and the hook.
pub(super) struct Telling {
    pub(super) vault: Arc<Vault>,
    pub(super) presence: watch::Receiver<Presence>,
    pub(super) metrics: Metrics,
    pub(super) forks: mpsc::Receiver<Object>,
}

impl Telling {
    /// Goes on until nobody can find a fork any more.
    pub(super) async fn go_on(mut self) {
        let hook = self.vault.settings.witness.fork_hook.clone();
        let (bundles, waiting) = mpsc::channel(HOOKS);
        let hooks = hook.map(|hook| tokio::spawn(start_each(hook, waiting)));
        // Whoever shows the same again tells nobody anything new, and keeps nobody else's from being told.
        let mut told = HashSet::new();
        while let Some(sealed) = self.forks.recv().await {
            if !told.insert(sealed.get_str("evidence_hash").map(str::to_owned)) {
                continue;
            }
            let bundle = self.tell(&sealed).await;
            if hooks.is_some() && bundles.try_send(bundle).is_err() {
                self.metrics.hook_dropped();
                tracing::warn!("too many forks wait for the hook; this one stays in the state alone");
            }
        }
    }

    async fn tell(&self, sealed: &Object) -> Object {
        let fork = self.look_up(sealed).await;
        let evidence = sealed.get_str("fork_evidence_id").unwrap_or_default();
        let class = fork.as_ref().map_or("claim", |fork| fork.class.name());
        tracing::error!(evidence, class, "a fork was found");
        if let (Ok(audit), Some(inner)) = (self.vault.audit(), sealed.get_object("evidence")) {
            let text = |name| inner.get_str(name).unwrap_or_default();
            let number = inner.get("submitted_checkpoint_seq_no").and_then(Value::as_i64).unwrap_or_default();
            audit.note(crate::audit::Event::checkpoint("forked", text("tenant_id"), text("stream_id"), number));
        }
        let bundle = fork.and_then(|fork| fork.to_object().ok());
        bundle.unwrap_or_else(|| Object::new().with("fork_evidence", sealed.clone()))
    }

    /// The evidence with all that it takes to judge it.
    async fn look_up(&self, sealed: &Object) -> Option<Fork> {
        let evidence = ForkEvidence::from_object(sealed.get_object("evidence")?).ok()?;
        for _ in 0..LOOKS {
            let Presence::There(counter) = self.presence.borrow().clone() else { return None };
            let evidence = evidence.clone();
            if let Ok(Some(fork)) = counter.read(move |reader| reader.fork_of(&evidence)).await {
                return Some(fork);
            }
            sleep(LOOK_AGAIN).await;
        }
        None
    }
}

/// One at a time: a hook that hangs holds up the hooks behind it, and nothing else.
async fn start_each(hook: PathBuf, mut bundles: mpsc::Receiver<Object>) {
    while let Some(bundle) = bundles.recv().await {
        let hook = hook.clone();
        // A hook that could not be waited for was told of already.
        let _ = apart("hook", move |_| hook::run(&hook, &bundle.to_canonical())).await;
    }
}
