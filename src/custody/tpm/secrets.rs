use std::collections::HashMap;
use std::sync::Arc;

use super::fault::Fault;
use super::link::Link;
use super::policy_folder;
use super::sealed_file::SealedFile;
use super::signed_policy::{Application, SignedPolicy};
use super::turn::Turn;
use super::worker::Tpm;
use super::{error, measure, mismatch};
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::LockedKey;

/// Secrets by the labels of their files, or why one does not open: a file that is damaged, or an old copy, takes none of
/// the others with it.
pub(super) type Secrets = HashMap<String, Result<Arc<LockedKey>, CustodyError>>;

impl Tpm {
    /// The secret of this label, released by the TPM. Blocks.
    pub(super) fn secret(&self, label: &str) -> Result<Arc<LockedKey>, CustodyError> {
        let label = label.to_owned();
        self.run(move |link| secret(link, &label))
    }
}

/// Where what runs here is measured, everything is released at once and the PCR is capped behind it, so that nothing
/// that runs later is given anything.
fn secret(link: &mut Link, label: &str) -> Result<Arc<LockedKey>, Fault> {
    if let Some(secrets) = link.memory.released() {
        return Ok(of(&secrets, label)?);
    }
    let file = SealedFile::read(&link.config.folder, label)?;
    let generation = file.secret.generation();
    // Another TPM is told as that, and not by policies that are not for it.
    link.parent()?;
    let policies = policy_folder::in_folder(&link.config)?;
    if policies.iter().any(|policy| policy.generation == generation && policy.application.is_some()) {
        let secrets = release_all(link, &policies)?;
        link.memory.keep(secrets.clone());
        return Ok(of(&secrets, label)?);
    }
    open(link, &file)
}

fn of(secrets: &Secrets, label: &str) -> Result<Arc<LockedKey>, CustodyError> {
    secrets.get(label).cloned().unwrap_or_else(|| Err(came_later(label)))
}

fn release_all(link: &mut Link, policies: &[SignedPolicy]) -> Result<Secrets, Fault> {
    // Also where a resource manager stands between: a PCR that is found open is then open by accident.
    let _alone = Turn::wait(&policy_folder::folder(&link.config.folder))?;
    let digest = measure::digest(&link.config, None)?;
    let applications: Vec<_> = policies.iter().filter_map(|policy| policy.application.as_ref()).collect();
    let (mut measured, mut is_untouched) = (None, false);
    for &application in &applications {
        let now = measure::read(link, application.pcr)?;
        is_untouched |= now == application.base;
        if now == application.base && digest == application.digest {
            measured = Some(application);
        }
        if now == application.measured() {
            // Who was released everything was killed before the cap, or its connection broke there.
            measure::extend(link, application.pcr, &measure::CAP)?;
        }
    }
    let Some(application) = measured else {
        return Err(why_not_measured(is_untouched, &applications).into());
    };
    // Asked for now: a person may take a while, and the PCR stays open for as long.
    link.pin()?;
    let labels = SealedFile::labels(&link.config.folder)?;
    measure::extend(link, application.pcr, &application.digest)?;
    let released: Result<Secrets, CustodyError> = labels
        .into_iter()
        .map(|label| {
            let file = SealedFile::read(&link.config.folder, &label);
            match file.map_err(Fault::from).and_then(|file| open(link, &file)).map_err(Fault::told) {
                // It is the file's own fault.
                Err(e) if e.kind == ErrorKind::Broken => {
                    tracing::warn!(error = e.origin(), "a sealed secret does not open");
                    tracing::debug!(label, error = %e, "which sealed secret does not open");
                    Ok((label, Err(e)))
                }
                opened => opened.map(|secret| (label, Ok(secret))),
            }
        })
        .collect();
    // Whatever came of it: nobody after us is given anything before the next boot.
    measure::extend(link, application.pcr, &measure::CAP)?;
    link.approved.clear();
    Ok(released?)
}

/// `is_untouched`: a PCR that a policy names is as the boot left it, so that it is we who are not named.
fn why_not_measured(is_untouched: bool, applications: &[&Application]) -> CustodyError {
    if is_untouched {
        let message = "this executable or its configuration is not the one that was signed";
        let advice = "Have this one signed: local-vault custody policy sign; or start the one that was.";
        return error(ErrorKind::Refused, "TPM2_PCR_Extend", message, advice);
    }
    mismatch::capped(applications.first().map_or(0, |application| application.pcr))
}

fn open(link: &mut Link, file: &SealedFile) -> Result<Arc<LockedKey>, Fault> {
    let mut secret = file.secret.open(link)?;
    Ok(Arc::new(LockedKey::new(&mut secret)))
}

fn came_later(label: &str) -> CustodyError {
    let message = format!("{label:?} was not there when secrets were released");
    error(ErrorKind::Refused, "TPM2_Unseal", message, "Secrets are released once a boot. Restart the machine.")
}
