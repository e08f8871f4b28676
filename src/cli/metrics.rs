//! What a monitoring system is told, in Prometheus' text format 0.0.4: over a loopback port and in a file by commands
//! that go on, and once by a command of its own. No name, reference or id of what is attested is in it.

mod audit;
mod collect;
mod file;
#[cfg(feature = "pkcs11")]
mod pin;
mod serve;
mod spool;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use prometheus::Registry;
use tokio::task::{JoinSet, spawn_blocking};

use super::failure::Failure;
use super::output::Output;
use super::vault::Vault;
use crate::relay::Drain;
use crate::spool::Limits;
use crate::witness::Metrics;
use collect::Sources;

/// Between two writes of the file: as often as Prometheus usually asks.
const EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault metrics                                              what the spool tells, without any key
  local-vault metrics --file /var/lib/node_exporter/local-vault.prom     from cron, where nothing goes on

drain-loop and relay drain tell more, and by themselves: see [metrics] in the config file.")]
pub(super) struct MetricsArgs {
    /// Write to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Tells once what lies on the disk. Needs no key.
pub(super) fn run(vault: &Vault, args: &MetricsArgs) -> Result<u8, Failure> {
    let text = text(vault)?;
    match &args.file {
        Some(path) => file::replace(path, &text).map_err(|e| file::failure(path, &e))?,
        None => Output::new().line(text.trim_end())?,
    }
    Ok(0)
}

/// What lies on the disk, as a text.
pub(super) fn text(vault: &Vault) -> Result<String, Failure> {
    let limits = vault.settings.bounds.limits;
    collect::on_the_disk(&vault.reader()?, limits, &vault.settings.audit.folder, vault.clock.now())
}

/// Tells what a command that goes on measures, where the configuration asks for it, and for as long as this is there.
pub(super) struct Exporter {
    /// None where nobody asked.
    sources: Option<Arc<Sources>>,
    file: Option<PathBuf>,
    tasks: JoinSet<()>,
}

impl Exporter {
    /// Listens, and writes the file for the first time, so that a place that cannot be used stops the start.
    pub(super) async fn start(vault: &Vault) -> Result<Self, Failure> {
        let settings = &vault.settings.metrics;
        let mut exporter = Self { sources: None, file: settings.file.clone(), tasks: JoinSet::new() };
        if settings.listen.is_none() && settings.file.is_none() {
            return Ok(exporter);
        }
        let sources = Arc::new(Sources::of(vault)?);
        exporter.sources = Some(sources.clone());
        if let Some(address) = settings.listen {
            let listener = serve::bind(address).await?;
            exporter.tasks.spawn(serve::serve(listener, sources.clone()));
        }
        if let Some(path) = exporter.file.clone() {
            write(&sources, &path).await?;
            exporter.tasks.spawn(write_again(sources, path));
        }
        Ok(exporter)
    }

    /// Tells from now on what this relay measures, too.
    pub(super) fn watch(&self, drain: &Drain) -> Result<(), Failure> {
        let Some(sources) = &self.sources else { return Ok(()) };
        // Its own: a relay that was started again begins to count again.
        let rooms = Registry::new();
        drain.register(&rooms).map_err(|e| told::defect(&e))?;
        sources.gather_from(rooms);
        Ok(())
    }

    /// Tells from now on what the witness measures, too.
    pub(super) fn watch_witness(&self, metrics: &Metrics) -> Result<(), Failure> {
        let Some(sources) = &self.sources else { return Ok(()) };
        let room = Registry::new();
        metrics.register(&room).map_err(|e| told::defect(&e))?;
        sources.gather_witness_from(room);
        Ok(())
    }

    /// Notes whether the signing key was there when it was last needed.
    pub(super) fn custody_is(&self, up: bool) {
        if let Some(sources) = &self.sources {
            sources.note_custody(up);
        }
    }

    /// Notes how much the spool takes, where that has changed.
    pub(super) fn limits_are(&self, limits: Limits) {
        if let Some(sources) = &self.sources {
            sources.note_limits(limits);
        }
    }

    /// Ends well: what the file says last is how it ended.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
        if let (Some(sources), Some(path)) = (&self.sources, &self.file) {
            try_write(sources, path).await;
        }
    }
}

/// Writes for as long as it is polled.
async fn write_again(sources: Arc<Sources>, path: PathBuf) {
    loop {
        tokio::time::sleep(EVERY).await;
        try_write(&sources, &path).await;
    }
}

/// A relay goes on that cannot tell how it goes.
async fn try_write(sources: &Arc<Sources>, path: &Path) {
    if let Err(failure) = write(sources, path).await {
        tracing::warn!(error = failure.message(), "the metrics were not written");
    }
}

async fn write(sources: &Arc<Sources>, path: &Path) -> Result<(), Failure> {
    let (sources, path) = (sources.clone(), path.to_owned());
    let written = spawn_blocking(move || {
        let written = sources.with_text(|text| file::replace(&path, text))?;
        written.map_err(|e| file::failure(&path, &e))
    });
    written.await.unwrap_or_else(|_| Err(Failure::software("collecting metrics broke off")))
}
