use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::health::Health;
use super::notify;
use crate::cli::failure::Failure;
use crate::cli::vault::{Vault, read_settings_and_text, rules};
use crate::config::{Bounds, Flags, changed};
use crate::ingest::{Producer, Rules};

/// What takes effect without a restart.
const LIVE: [&str; 8] = [
    "ingest.producers",
    "log.level",
    "relay.parallel",
    "spool.keep_days",
    "spool.keep_events",
    "spool.max_bytes",
    "spool.max_events",
    "spool.reserve_bytes",
];

/// Reads the config file again on SIGHUP.
pub(super) struct Reload {
    asked: Signal,
    flags: Flags,
    file: Option<PathBuf>,
    /// What it said when it was read last and all of it was taken over: what differs from it is told.
    text: String,
    /// Whose rules are in force. They are taken over whatever else needs a restart.
    producers: Option<Vec<Producer>>,
    parallel: Arc<AtomicUsize>,
    rules: watch::Sender<Arc<Rules>>,
    bounds: watch::Sender<Bounds>,
}

impl Reload {
    /// From now on SIGHUP asks, and no longer kills.
    pub(super) fn listen(vault: &Vault, flags: &Flags) -> Result<Self, Failure> {
        let asked = signal(SignalKind::hangup());
        let file = vault.settings.config_file.clone();
        Ok(Self {
            asked: asked.map_err(|e| Failure::software(format!("cannot listen for signals: {e}")))?,
            flags: flags.clone(),
            text: file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default(),
            file,
            producers: vault.settings.ingest.producers.clone(),
            parallel: Arc::new(AtomicUsize::new(vault.settings.relay.parallel)),
            rules: watch::Sender::new(Arc::new(rules(&vault.settings)?)),
            bounds: watch::Sender::new(vault.settings.bounds),
        })
    }

    /// Streams that are sent at once.
    pub(super) fn parallel(&self) -> Arc<AtomicUsize> {
        self.parallel.clone()
    }

    /// Who may submit what.
    pub(super) fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    /// How much the spool takes, and how long it keeps what is settled.
    pub(super) fn bounds(&self) -> watch::Receiver<Bounds> {
        self.bounds.subscribe()
    }

    /// Reads it whenever that is asked for.
    pub(super) async fn go_on(mut self, vault: Arc<Vault>, health: Arc<Health>) {
        while self.asked.recv().await.is_some() {
            // Whoever is told that a reload ended takes it that the start did, too.
            let is_told = *health.known().borrow();
            if is_told {
                notify::reloading();
            }
            match self.read(&vault) {
                Ok(()) => health.reloaded(self.bounds.borrow().limits),
                // Every line says what is wrong, and none repeats a value.
                Err(failure) => {
                    failure.lines().for_each(|problem| tracing::error!(problem, "the config file is refused"));
                }
            }
            if is_told {
                notify::reloaded();
            }
        }
    }

    /// Takes over what may change. Where anything is wrong, nothing changes.
    fn read(&mut self, vault: &Vault) -> Result<(), Failure> {
        if self.file.is_none() {
            tracing::warn!("there is no config file to read again");
            return Ok(());
        }
        let (mut settings, text) = read_settings_and_text(&self.flags)?;
        // The stream of the heads changes with a restart alone: until then it is the old one that nobody else writes to.
        settings.audit.stream_id.clone_from(&vault.settings.audit.stream_id);
        let rules = rules(&settings)?;
        let changed = changed(&self.text, &text);
        vault.log.configure(settings.log.level);
        self.parallel.store(settings.relay.parallel, Ordering::Relaxed);
        self.bounds.send_replace(settings.bounds);
        // With new rules quotas begin anew. A user may have become another uid while the file stayed as it was.
        if settings.ingest.producers != self.producers {
            self.producers = settings.ingest.producers;
            self.rules.send_replace(Arc::new(rules));
        }
        tracing::info!(changed = changed.len(), "the config file was read again");
        let left: Vec<String> = changed.into_iter().filter(|name| !LIVE.contains(&name.as_str())).collect();
        if left.is_empty() {
            self.text = text;
        } else {
            // It still differs from what runs, and is named again the next time.
            tracing::warn!(settings = left.join(", "), "needs a restart");
        }
        Ok(())
    }
}
