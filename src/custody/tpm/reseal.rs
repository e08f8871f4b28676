use std::sync::Arc;

use super::admin::check_label;
use super::durable;
use super::error;
use super::fault::Fault;
use super::link::Link;
use super::policy_folder;
use super::policy_key::PolicyKey;
use super::recovery::{Covered, RecoveryKey};
use super::released;
use super::sealed::SealedSecret;
use super::sealed_file::{Content, SealedFile};
use super::sign_policy::{Predicted, sign_policy};
use super::worker::Tpm;
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::LockedKey;
use crate::protocol::PublicKey;

impl Tpm {
    /// Seals every secret anew, for the next generation and for these states alone; afterwards no earlier policy and no
    /// earlier copy of a file opens any. `progress` is told of each secret. Blocks.
    pub fn reseal(
        &self,
        key: PolicyKey,
        states: Vec<Predicted>,
        progress: impl Fn(&str) + Send + 'static,
    ) -> Result<u32, CustodyError> {
        key.refuse_other(&self.config().policy_key)?;
        // Two at once would take back each other's policies, and a key that is made meanwhile would be forgotten.
        let _lock = durable::lock_folder(&self.config().folder)?;
        let parent = policy_folder::parent_name(self.config())?.to_owned();
        let next = self.generation()? + 1;
        let labels = SealedFile::labels(&self.config().folder)?;
        let before = policy_folder::paths(&self.config().folder)?;
        // Opened first: where that is refused, nothing was changed.
        let secrets: Vec<(String, Arc<LockedKey>)> = labels
            .into_iter()
            .map(|label| Ok((label.clone(), self.secret(&label)?)))
            .collect::<Result<_, CustodyError>>()?;
        // Over every try: where the first one sealed a secret, the second one must leave its policy there.
        let mut resealed = 0;
        self.run(move |link| {
            let mut installed = Vec::new();
            let mut all = || -> Result<(), Fault> {
                for state in &states {
                    let policy = sign_policy(link, &key, &parent, next, state, link.config.application_pcr)?;
                    installed.push(policy_folder::install(&link.config.folder, &policy)?);
                }
                for (label, secret) in &secrets {
                    reseal(link, label, next, secret)?;
                    resealed += 1;
                    progress(label);
                }
                Ok(())
            };
            let done = all();
            if done.is_err() && resealed == 0 {
                // Nothing is sealed for them. On a full disk each try would take more of it.
                installed.iter().for_each(|path| drop(durable::remove(path)));
            }
            done?;
            // Only now does nothing need them.
            before.iter().filter(|path| path.exists()).try_for_each(|path| durable::remove(path))?;
            link.approved.clear();
            Ok(next)
        })
    }

    /// Seals the seeds that were covered for another board to this TPM. Gives the labels and public halves. Blocks.
    pub fn recover(&self, key: RecoveryKey, labels: Vec<String>) -> Result<Vec<(String, PublicKey)>, CustodyError> {
        labels.iter().try_for_each(|label| check_label(label))?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let generation = self.generation()?;
        self.run(move |link| {
            let mut recovered = Vec::new();
            for label in &labels {
                let covered = Covered::read(&link.config.folder, label)?;
                let seed = covered.open(&key)?;
                refuse_another(link, label, &covered.public_key)?;
                reseal(link, label, generation, &seed)?;
                recovered.push((label.clone(), covered.public_key));
            }
            Ok(recovered)
        })
    }
}

/// What is sealed under a label is replaced by the same key alone: the half of another one would be destroyed.
fn refuse_another(link: &Link, label: &str, public: &PublicKey) -> Result<(), CustodyError> {
    let path = SealedFile::path(&link.config.folder, label);
    if !path.exists() || SealedFile::read(&link.config.folder, label)?.content == Content::Seed(public.clone()) {
        return Ok(());
    }
    let message = format!("{} holds another secret than the covered seed", path.display());
    let advice = "Nothing was changed. Is LABEL.recovery.json that of this key?";
    Err(error(ErrorKind::Refused, "recover", message, advice))
}

/// Seals a secret anew in place of what its file holds. The old half goes once the new file is there, which names it
/// until it is gone: whoever is killed in between leaves nothing that a copy of the old file would open with. Other
/// halves of these generations are not ours to destroy, since one policy key may serve several folders.
fn reseal(link: &mut Link, label: &str, generation: u32, secret: &LockedKey) -> Result<(), Fault> {
    let path = SealedFile::path(&link.config.folder, label);
    let old = if path.exists() { Some(SealedFile::read(&link.config.folder, label)?) } else { None };
    let content = match &old {
        Some(old) => old.content.clone(),
        None => Content::Seed(released::public_half(secret)),
    };
    let replaced =
        old.map(|old| [old.replaced, vec![(old.secret.generation(), old.secret.half())]].concat()).unwrap_or_default();
    let secret = SealedSecret::seal(link, generation, secret.expose())?;
    let new = SealedFile { content, secret, replaced };
    if let Err(e) = durable::make_folder(&link.config.folder).and_then(|()| durable::replace(&path, &new.to_bytes())) {
        // Where it is there and only not synced yet, it is all that opens.
        if !SealedFile::read(&link.config.folder, label).is_ok_and(|there| there == new) {
            let _ = new.secret.destroy(link);
        }
        return Err(e.into());
    }
    if new.replaced.is_empty() {
        return Ok(());
    }
    new.destroy_replaced(link)?;
    Ok(durable::replace(&path, &SealedFile::new(new.content, new.secret).to_bytes())?)
}
