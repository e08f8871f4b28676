use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Registry;

#[cfg(feature = "pkcs11")]
use super::pin::Pin;
use super::told::{Told, text};
use super::{audit, spool};
use crate::audit::Audit;
use crate::cli::failure::Failure;
use crate::cli::vault::Vault;
use crate::facts::{Clock, Timestamp};
use crate::spool::{Limits, SpoolError, SpoolReader};
use crate::store::StoreError;

/// Where the metrics of a command that goes on come from.
pub(super) struct Sources {
    /// What the rooms measure of themselves.
    rooms: Mutex<Registry>,
    /// And the witness, where there is one.
    witness: Mutex<Registry>,
    spool: PathBuf,
    limits: Mutex<Limits>,
    audit: (Arc<Audit>, PathBuf),
    clock: Arc<dyn Clock>,
    started_at: Timestamp,
    custody_up: AtomicBool,
    #[cfg(feature = "pkcs11")]
    pin: Option<Pin>,
    /// One at a time, so that no older text replaces a younger one.
    turn: Mutex<()>,
}

impl Sources {
    pub(super) fn of(vault: &Vault) -> Result<Self, Failure> {
        Ok(Self {
            rooms: Mutex::default(),
            witness: Mutex::default(),
            spool: vault.spool_path()?,
            limits: Mutex::new(vault.settings.bounds.limits),
            audit: (vault.audit()?, vault.settings.audit.folder.clone()),
            clock: vault.clock.clone(),
            started_at: vault.clock.now(),
            // Until a key turns out to be away.
            custody_up: AtomicBool::new(true),
            #[cfg(feature = "pkcs11")]
            pin: vault.settings.custody.token.is_some().then(|| vault.token().map(Pin::new)).transpose()?,
            turn: Mutex::default(),
        })
    }

    /// Gathers what this registry does, in place of what an earlier relay measured.
    pub(super) fn gather_from(&self, rooms: Registry) {
        *self.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
    }

    /// Gathers what the witness measures.
    pub(super) fn gather_witness_from(&self, witness: Registry) {
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = witness;
    }

    pub(super) fn note_custody(&self, up: bool) {
        self.custody_up.store(up, Ordering::Relaxed);
    }

    pub(super) fn note_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Hands over everything that there is to tell now. What cannot be asked is left out, for an alarm to miss. Blocks
    /// on the disk, and for a moment on a token.
    pub(super) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> Result<T, Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let told = Told::default();
        build(&told)?;
        let started_at = self.started_at.as_millis() as f64 / 1000.0;
        told.gauge("local_vault_start_time_seconds", "When the process began, since 1970.", started_at)?;
        let up = f64::from(u8::from(self.custody_up.load(Ordering::Relaxed)));
        told.gauge("local_vault_custody_up", "Whether the signing key was there when it was last needed.", up)?;
        #[cfg(feature = "pkcs11")]
        if let Some(pin) = &self.pin {
            pin.tell(&told)?;
        }
        let (log, folder) = &self.audit;
        audit::tell_up(&told, log)?;
        // A log that cannot be read is down already.
        let _ = audit::tell(&told, folder, self.clock.now());
        let mut families = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).gather();
        families.extend(self.witness.lock().unwrap_or_else(PoisonError::into_inner).gather());
        families.extend(told.families());
        families.extend(self.of_the_spool().families());
        Ok(take(&text(&families)?))
    }

    /// What the spool tells; nothing where it is not there yet or cannot be read.
    fn of_the_spool(&self) -> Told {
        let told = Told::default();
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match SpoolReader::open(&self.spool) {
            Err(SpoolError::Store(StoreError::Missing(_))) => return told,
            opened => {
                opened.map_err(Failure::from).and_then(|spool| spool::tell(&told, &spool, limits, self.clock.now()))
            }
        };
        match read {
            Ok(()) => told,
            Err(failure) => {
                tracing::warn!(error = failure.message(), "the spool was not read for the metrics");
                Told::default()
            }
        }
    }
}

/// What is told of the disk alone.
pub(super) fn on_the_disk(
    spool: &SpoolReader,
    limits: Limits,
    audit: &Path,
    now: Timestamp,
) -> Result<String, Failure> {
    let told = Told::default();
    build(&told)?;
    spool::tell(&told, spool, limits, now)?;
    audit::tell(&told, audit, now)?;
    text(&told.families())
}

fn build(told: &Told) -> Result<(), Failure> {
    let version = [(env!("CARGO_PKG_VERSION"), 1.0)];
    told.gauges("local_vault_build_info", "The version that runs, as a label.", "version", version)
}
