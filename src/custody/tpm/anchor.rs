//! A floor in the TPM, in two NV indices that only a secret writes to, which is sealed like our keys.
//!
//! One index is a counter, A. The other, B, holds the floor and the value of A that goes with it. To raise the floor, B
//! is written with the value that A has next, and A is incremented. Whoever has the owner hierarchy can undefine B and
//! make it anew with what it once held; A comes back by no means, since a counter that is made anew starts above every
//! value that a counter of this TPM had (Part 1, section on NV counters). So an old B shows. A crash between the two
//! leaves a B that is one ahead: it counts, and A is incremented before anybody is told of it.

mod device;
mod index;
mod record;

use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub(super) use index::Indices;

use super::admin::{check_label, destroy, free, keep};
use super::link::Link;
use super::resident::ResidentKey;
use super::sealed::SealedSecret;
use super::sealed_file::{Content, SealedFile};
use super::worker::Tpm;
use super::{durable, error, random};
use crate::custody::{Anchor, AnchorKind, CustodyError, ErrorKind, Floor};
use crate::facts::LockedKey;
use crate::protocol::tpm::TpmKind;

/// An anchor in a TPM. Its file lies with the sealed keys, under a label of its own; where there is no file there is no
/// anchor. `custody tpm evict LABEL` takes it away.
#[derive(Debug)]
pub struct TpmAnchor {
    tpm: Arc<Tpm>,
    label: String,
    kind: OnceLock<AnchorKind>,
    /// The secret of these indices, once it was released.
    secret: Mutex<Option<(Indices, Arc<LockedKey>)>>,
}

impl TpmAnchor {
    /// The anchor of this label. Touches neither file nor TPM.
    pub fn new(tpm: Arc<Tpm>, label: &str) -> Self {
        Self { tpm, label: label.to_owned(), kind: OnceLock::new(), secret: Mutex::new(None) }
    }

    /// Its indices, where one was begun, and that was finished. Nobody else changes it while the lock is held.
    fn locked(&self) -> Result<Option<(File, Indices)>, CustodyError> {
        // A folder that is not there is not made for the lock.
        if self.content()?.is_none() {
            return Ok(None);
        }
        let lock = durable::lock_folder(&self.tpm.config().folder)?;
        match self.content()? {
            Some(Content::Anchor { indices, is_made: true }) => Ok(Some((lock, indices))),
            None | Some(Content::Anchor { is_made: false, .. }) => Ok(None),
            Some(Content::Seed(_) | Content::Wrapping) => Err(no_anchor(&self.label)),
        }
    }

    fn content(&self) -> Result<Option<Content>, CustodyError> {
        check_label(&self.label)?;
        match SealedFile::read(&self.tpm.config().folder, &self.label) {
            Ok(file) => Ok(Some(file.content)),
            Err(e) if e.kind == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The secret of these indices, released once.
    fn secret(&self, indices: Indices) -> Result<Arc<LockedKey>, CustodyError> {
        let mut kept = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, secret)) = &*kept
            && *of == indices
        {
            return Ok(secret.clone());
        }
        let secret = self.tpm.secret(&self.label)?;
        *kept = Some((indices, secret.clone()));
        Ok(secret)
    }

    /// Seals a new secret, and names in its file which indices are to be made: whoever is killed from here on leaves
    /// nothing that no file names.
    fn seal(&self) -> Result<(Indices, Arc<LockedKey>), CustodyError> {
        let (label, generation) = (self.label.clone(), self.tpm.generation()?);
        let (indices, secret) = self.tpm.run(move |link| {
            let path = free(&SealedFile::path(&link.config.folder, &label))?;
            free(&ResidentKey::path(&link.config.folder, &label))?;
            let indices = Indices::draw(link)?;
            let mut secret = random::<32>()?;
            let sealed = SealedSecret::seal(link, generation, &secret)?;
            keep(link, &path, SealedFile::new(Content::Anchor { indices, is_made: false }, sealed))?;
            Ok((indices, Arc::new(LockedKey::new(&mut secret))))
        })?;
        // What is used is what opens the next time.
        let opens = self.tpm.opens_freely(generation)?;
        Ok((indices, if opens { self.tpm.secret(&self.label)? } else { secret }))
    }

    /// Takes away what a begin left that was broken off: nobody was told of it.
    fn clear_unfinished(&self) -> Result<(), CustodyError> {
        match self.content()? {
            None => Ok(()),
            Some(Content::Anchor { is_made: false, .. }) => {
                let label = self.label.clone();
                self.tpm.run(move |link: &mut Link| destroy(link, &label)).map(drop)
            }
            Some(_) => Err(durable::taken(&SealedFile::path(&self.tpm.config().folder, &self.label))),
        }
    }

    fn finish(&self, indices: Indices) -> Result<(), CustodyError> {
        let folder = &self.tpm.config().folder;
        let begun = SealedFile::read(folder, &self.label)?;
        let made = SealedFile { content: Content::Anchor { indices, is_made: true }, ..begun };
        durable::replace(&SealedFile::path(folder, &self.label), &made.to_bytes())
    }
}

impl Anchor for TpmAnchor {
    /// Only what is known to be a chip of its own counts as one. Firmware of a processor keeps its state in the board's
    /// flash, and what an unknown maker ships may be a program.
    fn kind(&self) -> Result<AnchorKind, CustodyError> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let is_chip = !self.tpm.config().tcti.is_simulator() && self.tpm.facts()?.maker.kind == TpmKind::Discrete;
        Ok(*self.kind.get_or_init(|| if is_chip { AnchorKind::Tpm } else { AnchorKind::VirtualTpm }))
    }

    fn read(&self) -> Result<Option<Floor>, CustodyError> {
        let Some((_lock, indices)) = self.locked()? else { return Ok(None) };
        let secret = self.secret(indices)?;
        self.tpm.run(move |link| device::read(link, indices, &secret)).map(Some)
    }

    fn begin(&self, floor: &Floor) -> Result<(), CustodyError> {
        check_label(&self.label)?;
        let _lock = durable::lock_folder(&self.tpm.config().folder)?;
        self.clear_unfinished()?;
        let (indices, secret) = self.seal()?;
        let (used, floor) = (secret.clone(), *floor);
        self.tpm.run(move |link| device::make(link, indices, &used, &floor))?;
        self.finish(indices)?;
        *self.secret.lock().unwrap_or_else(PoisonError::into_inner) = Some((indices, secret));
        Ok(())
    }

    /// Two writes to the TPM's memory, which bears a number of them: callers batch.
    fn advance(&self, floor: &Floor) -> Result<(), CustodyError> {
        let (_lock, indices) = self.locked()?.ok_or_else(|| not_begun(&self.label))?;
        let (secret, floor) = (self.secret(indices)?, *floor);
        self.tpm.run(move |link| device::advance(link, indices, &secret, &floor))
    }
}

fn broken(message: impl Into<String>) -> CustodyError {
    let advice = "Nothing was made anew. Was the TPM restored from a copy, or does another program use its NV indices?";
    error(ErrorKind::Broken, "anchor", message, advice)
}

fn no_anchor(label: &str) -> CustodyError {
    let message = format!("the sealed secret {label:?} is a key, and no anchor");
    error(ErrorKind::Misconfigured, "anchor", message, "Name another label. Nothing was changed.")
}

fn not_begun(label: &str) -> CustodyError {
    let message = format!("there is no anchor {label:?} in the TPM");
    error(ErrorKind::NotFound, "anchor", message, "Was it evicted, or its file deleted? Nothing was made anew.")
}
