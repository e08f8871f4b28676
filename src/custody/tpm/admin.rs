//! What an operator does: provisions a TPM, makes keys, signs policies, seals anew, recovers. Nothing that is there is
//! overwritten but by what replaces it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durable;
use super::fault::Fault;
use super::firmware_log::{self, Digests};
use super::link::Link;
use super::nv::{self, Half};
use super::pcr::{Selection, Value, Values};
use super::policy::Reference;
use super::policy_file::{self, Application, SignedPolicy};
use super::policy_key::PolicyKey;
use super::recovery::{Covered, RecoveryKey};
use super::released::{self, ReleasedKey};
use super::resident::{self, ResidentKey};
use super::sealed::SealedSecret;
use super::sealed_file::{Content, SealedFile};
use super::worker::Tpm;
use super::wrapping::TpmWrappingKey;
use super::{error, measure, parent, random};
use crate::custody::{CustodyError, ErrorKind, SharedSigningKey, SigningKey as _};
use crate::facts::LockedKey;
use crate::protocol::{Algorithm, PublicKey};

/// The state that a policy is signed for, where it is not the one of now.
#[derive(Debug, Clone, Default)]
pub struct Predicted {
    /// PCRs that will hold something else.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// The executable that will run, where what runs is measured.
    pub executable: Option<PathBuf>,
}

/// The first generation of sealed secrets.
const FIRST: u32 = 1;

impl Tpm {
    /// The parent's Name in hex, whatever is pinned, and a signed policy for the state of now. Refused where a policy
    /// is there already. What runs here is not measured yet, since its configuration is not finished: the next
    /// [`reseal`](Self::reseal) does that. Blocks.
    pub fn provision(&self, key: PolicyKey) -> Result<String, CustodyError> {
        self.run(move |link| {
            if !policy_file::paths(&link.config.folder)?.is_empty() {
                let message = format!("{} was provisioned before", link.config.folder.display());
                let advice = "Nothing was changed. For another board name another folder as custody.tpm.folder.";
                return Err(error(ErrorKind::Refused, "provision", message, advice).into());
            }
            let (_, name) = parent::find(link)?;
            let policy = sign_policy(link, &key, FIRST, &Predicted::default(), None)?;
            policy_file::install(&link.config.folder, &policy)?;
            Ok(hex::encode(name))
        })
    }

    /// Signs a policy for the state of now, or a predicted one. Whether it measures what runs, the policies tell that
    /// are in use, or where there are none the configuration. Installs nothing. Blocks.
    pub fn sign_policy(&self, key: PolicyKey, predicted: Predicted) -> Result<SignedPolicy, CustodyError> {
        key.refuse_other(&self.config().policy_key)?;
        let generation = self.generation()?;
        let measures = match self.in_use(generation)? {
            None => self.config().application_pcr,
            Some(policy) => policy.application.map(|application| application.pcr),
        };
        // All that is asked for is known already: no TPM is needed.
        let given = |pcr: &u8| predicted.pcrs.contains_key(pcr);
        if measures.is_none() && self.config().pcrs.indices().all(|pcr| given(&pcr)) {
            return SignedPolicy::sign(key.signing_key(), generation, predicted.pcrs, None, Digests::new());
        }
        self.run(move |link| Ok(sign_policy(link, &key, generation, &predicted, measures)?))
    }

    /// Takes a signed policy into use, and gives where it lies.
    pub fn apply_policy(&self, path: &Path) -> Result<PathBuf, CustodyError> {
        let policy = policy_file::read(path)?;
        policy.verify(&policy_file::policy_key(&self.config().policy_key)?, &path.display().to_string())?;
        let generation = self.generation()?;
        if policy.generation != generation {
            let message = format!("{} is of generation {}", path.display(), policy.generation);
            let advice = format!("What is sealed here is of generation {generation}. Sign it again, on this box.");
            return Err(error(ErrorKind::Refused, "policy", message, advice));
        }
        policy_file::install(&self.config().folder, &policy)
    }

    /// The generation that secrets are sealed in now.
    pub fn generation(&self) -> Result<u32, CustodyError> {
        let mut newest = FIRST;
        for path in policy_file::paths(&self.config().folder)? {
            newest = newest.max(policy_file::read(&path)?.generation);
        }
        Ok(newest)
    }

    /// A policy of this generation, which tells what all of it measure.
    fn in_use(&self, generation: u32) -> Result<Option<SignedPolicy>, CustodyError> {
        let paths = policy_file::paths(&self.config().folder)?;
        let policies = paths.iter().map(|path| policy_file::read(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(policies.into_iter().find(|policy| policy.generation == generation))
    }

    /// Whether what was sealed may be opened to see that it opens: not where that happens once a boot.
    fn opens_freely(&self, generation: u32) -> Result<bool, CustodyError> {
        Ok(self.in_use(generation)?.is_none_or(|policy| policy.application.is_none()))
    }

    /// Makes a signing key: P-256 in the TPM, or an Ed25519 seed that is sealed, and looks whether it can be used; but
    /// for a seed that is released once a boot. Blocks.
    pub fn generate(self: &Arc<Self>, label: &str, algorithm: Algorithm) -> Result<SharedSigningKey, CustodyError> {
        check_label(label)?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let generation = self.generation()?;
        let own = label.to_owned();
        match algorithm {
            Algorithm::Ed25519 => {
                let public = self.run(move |link| generate_sealed(link, &own, generation))?;
                let key = ReleasedKey::new(self.clone(), label, public);
                if self.opens_freely(generation)? {
                    key.check()?;
                }
                Ok(Arc::new(key))
            }
            Algorithm::Es256 => {
                let public = self.run(move |link| generate_resident(link, &own))?;
                let key = ResidentKey::new(self.clone(), label, public);
                key.check()?;
                Ok(Arc::new(key))
            }
        }
    }

    /// Makes a secret that wraps data keys. Blocks.
    pub fn generate_wrapping(self: &Arc<Self>, label: &str) -> Result<TpmWrappingKey, CustodyError> {
        check_label(label)?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let (own, generation) = (label.to_owned(), self.generation()?);
        let made = self.run(move |link| {
            let path = free(&SealedFile::path(&link.config.folder, &own))?;
            free(&ResidentKey::path(&link.config.folder, &own))?;
            let mut made = random::<32>()?;
            let secret = SealedSecret::seal(link, generation, &made)?;
            keep(link, &path, SealedFile { content: Content::Wrapping, secret })?;
            Ok(Arc::new(LockedKey::new(&mut made)))
        })?;
        if self.opens_freely(generation)? {
            return TpmWrappingKey::open(self.clone(), label);
        }
        Ok(TpmWrappingKey::of(self.clone(), made))
    }

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
        let next = self.generation()? + 1;
        let labels = SealedFile::labels(&self.config().folder)?;
        // Opened first: where that is refused, nothing was changed.
        let secrets: Vec<(String, Arc<LockedKey>)> = labels
            .into_iter()
            .map(|label| Ok((label.clone(), self.secret(&label)?)))
            .collect::<Result<_, CustodyError>>()?;
        self.run(move |link| {
            let before = policy_file::paths(&link.config.folder)?;
            let (mut installed, mut resealed) = (Vec::new(), 0);
            let mut all = || -> Result<(), Fault> {
                for state in &states {
                    let policy = sign_policy(link, &key, next, state, link.config.application_pcr)?;
                    installed.push(policy_file::install(&link.config.folder, &policy)?);
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
            before.iter().try_for_each(|path| durable::remove(path))?;
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
                reseal(link, label, generation, &seed)?;
                recovered.push((label.clone(), covered.public_key));
            }
            Ok(recovered)
        })
    }

    /// Destroys a key of ours: its half in the TPM, and its files. Whether there was any. Blocks.
    pub fn evict(&self, label: &str) -> Result<bool, CustodyError> {
        check_label(label)?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let label = label.to_owned();
        self.run(move |link| {
            let folder = link.config.folder.clone();
            let mut there = false;
            if SealedFile::path(&folder, &label).exists() {
                SealedFile::read(&folder, &label)?.secret.destroy(link)?;
            }
            let files =
                [SealedFile::path(&folder, &label), Covered::path(&folder, &label), ResidentKey::path(&folder, &label)];
            for path in files.iter().filter(|path| path.exists()) {
                durable::remove(path)?;
                there = true;
            }
            Ok(there)
        })
    }

    /// The NV indices of our making that no sealed file names: the halves of epochs, and what a kill or an undone
    /// transaction left behind. Blocks.
    pub fn other_halves(&self) -> Result<Vec<u32>, CustodyError> {
        let newest = self.generation()?;
        let named: Vec<u32> = self.sealed()?.into_iter().map(|sealed| sealed.nv_index).collect();
        self.run(move |link| {
            let sealed = (FIRST..=newest).map(|generation| Reference::Sealed { generation });
            let references: Vec<Reference> = sealed.chain([Reference::Standing]).collect();
            let ours = nv::ours(link, &references)?.into_iter().map(Half::index);
            Ok(ours.filter(|index| !named.contains(index)).collect())
        })
    }

    /// Undefines an NV index that is one of the [`other_halves`](Self::other_halves). Whether it was there. Blocks.
    pub fn evict_half(&self, index: u32) -> Result<bool, CustodyError> {
        let operation = "TPM2_NV_UndefineSpace";
        let half = Half::at(index).ok_or_else(|| {
            let message = format!("0x{index:08x} is no NV index of the owner's range");
            error(ErrorKind::Misconfigured, operation, message, "Run: local-vault custody tpm status")
        })?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let others = self.other_halves()?;
        self.run(move |link| {
            if !others.contains(&index) && half.exists(link)? {
                let message = format!("0x{index:08x} is no half of an epoch");
                let advice = "Nothing was destroyed. `local-vault custody tpm status` shows which are; a key goes by its \
                              label.";
                return Err(error(ErrorKind::Refused, operation, message, advice).into());
            }
            half.destroy(link)
        })
    }
}

fn sign_policy(
    link: &mut Link,
    key: &PolicyKey,
    generation: u32,
    predicted: &Predicted,
    measures: Option<u8>,
) -> Result<SignedPolicy, CustodyError> {
    let pcrs = link.config.pcrs.clone();
    let unknown = Selection::of(pcrs.indices().filter(|pcr| !predicted.pcrs.contains_key(pcr)));
    let mut values: Values = unknown.read(&mut link.context).map_err(Fault::told)?;
    let events = firmware_log::digests(&firmware_log::explaining(&link.config, &values));
    values.extend(predicted.pcrs.iter().filter(|(pcr, _)| pcrs.indices().any(|selected| selected == **pcr)));
    let application = match measures {
        None => None,
        Some(pcr) => Some(Application {
            pcr,
            base: base(link, pcr, predicted)?,
            digest: measure::digest(&link.config, predicted.executable.as_deref())?,
        }),
    };
    SignedPolicy::sign(key.signing_key(), generation, values, application, events)
}

/// What the application's PCR holds before anything of ours is measured: as predicted, as an earlier policy has it,
/// or what it holds now.
fn base(link: &mut Link, pcr: u8, predicted: &Predicted) -> Result<Value, CustodyError> {
    if let Some(value) = predicted.pcrs.get(&pcr) {
        return Ok(*value);
    }
    let policies = match link.config.policy_key {
        Some(_) => policy_file::in_folder(link)?,
        None => Vec::new(),
    };
    let earlier = policies.iter().rev().filter_map(|policy| policy.application.as_ref()).find(|a| a.pcr == pcr);
    match earlier {
        Some(earlier) => Ok(earlier.base),
        None => measure::read(link, pcr).map_err(Fault::told),
    }
}

fn generate_sealed(link: &mut Link, label: &str, generation: u32) -> Result<PublicKey, Fault> {
    let path = free(&SealedFile::path(&link.config.folder, label))?;
    free(&ResidentKey::path(&link.config.folder, label))?;
    let seed = random::<32>()?;
    let public = released::public_half(&LockedKey::new(&mut seed.clone()));
    let covered = match &link.config.recovery_key {
        Some(recovery) => Some(Covered::cover(&seed, &public, recovery)?),
        None => None,
    };
    let secret = SealedSecret::seal(link, generation, &seed)?;
    keep(link, &path, SealedFile { content: Content::Seed(public.clone()), secret })?;
    if let Some(covered) = covered {
        durable::replace(&Covered::path(&link.config.folder, label), &covered.to_bytes())?;
    }
    Ok(public)
}

fn generate_resident(link: &mut Link, label: &str) -> Result<PublicKey, Fault> {
    let path = free(&ResidentKey::path(&link.config.folder, label))?;
    free(&SealedFile::path(&link.config.folder, label))?;
    let (file, public) = resident::create(link)?;
    durable::make_folder(&link.config.folder)?;
    durable::create(&path, file.to_pem().as_bytes())?;
    Ok(public)
}

/// Puts a new secret's file into the folder. Where that fails its half is destroyed again: nobody knows of it.
fn keep(link: &mut Link, path: &Path, file: SealedFile) -> Result<(), Fault> {
    let kept = durable::make_folder(&link.config.folder).and_then(|()| durable::create(path, &file.to_bytes()));
    if kept.is_err() {
        let _ = file.secret.destroy(link);
    }
    Ok(kept?)
}

/// Seals a secret anew in place of what its file holds. The old half goes once the new file is there.
fn reseal(link: &mut Link, label: &str, generation: u32, secret: &LockedKey) -> Result<(), Fault> {
    let path = SealedFile::path(&link.config.folder, label);
    let old = if path.exists() { Some(SealedFile::read(&link.config.folder, label)?) } else { None };
    let content = match &old {
        Some(old) => old.content.clone(),
        None => Content::Seed(released::public_half(secret)),
    };
    let secret = SealedSecret::seal(link, generation, secret.expose())?;
    let new = SealedFile { content, secret };
    if let Err(e) = durable::make_folder(&link.config.folder).and_then(|()| durable::replace(&path, &new.to_bytes())) {
        let _ = new.secret.destroy(link);
        return Err(e.into());
    }
    if let Some(old) = old {
        old.secret.destroy(link)?;
    }
    Ok(())
}

fn free(path: &Path) -> Result<PathBuf, CustodyError> {
    if path.exists() { Err(durable::taken(path)) } else { Ok(path.to_owned()) }
}

/// A label is the name of a file.
fn check_label(label: &str) -> Result<(), CustodyError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&label.len()) && label.chars().all(plain) && !label.starts_with('.') {
        return Ok(());
    }
    let message = format!("{label:?} is no label for a key in a TPM");
    Err(error(
        ErrorKind::Misconfigured,
        "label",
        message,
        "It has 1 to 64 letters, digits, dots, dashes and underscores.",
    ))
}
