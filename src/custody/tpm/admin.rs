//! Provisions a TPM, makes keys and takes them out of use. Nothing that is there is overwritten.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durable;
use super::fault::Fault;
use super::link::Link;
use super::nv::{self, Half};
use super::policy::Reference;
use super::policy_folder;
use super::policy_key::PolicyKey;
use super::recovery::Covered;
use super::released::{self, ReleasedKey};
use super::resident::{self, ResidentKey};
use super::sealed::SealedSecret;
use super::sealed_file::{Content, SealedFile};
use super::sign_policy::{FIRST, Predicted, sign_policy};
use super::worker::Tpm;
use super::wrapping::TpmWrappingKey;
use super::{error, parent, random};
use crate::custody::{CustodyError, ErrorKind, SharedSigningKey, SigningKey as _};
use crate::facts::LockedKey;
use crate::protocol::{Algorithm, PublicKey};

impl Tpm {
    /// The parent's Name in hex, whatever is pinned, and a signed policy for the state of now. Refused where a policy
    /// is there already. What runs here is not measured yet, since its configuration is not finished: the next
    /// [`reseal`](Self::reseal) does that. Blocks.
    pub fn provision(&self, key: PolicyKey) -> Result<String, CustodyError> {
        self.run(move |link| {
            refuse_provisioned(&link.config.folder)?;
            let (_, name) = parent::find(link)?;
            let name = hex::encode(name);
            let policy = sign_policy(link, &key, &name, FIRST, &Predicted::default(), None)?;
            policy_folder::install(&link.config.folder, &policy)?;
            Ok(name)
        })
    }

    /// Refuses a box that was provisioned before, so that nothing is made for it first. Touches no TPM.
    pub fn refuse_provisioned(&self) -> Result<(), CustodyError> {
        refuse_provisioned(&self.config().folder)
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
            keep(link, &path, SealedFile::new(Content::Wrapping, secret))?;
            Ok(Arc::new(LockedKey::new(&mut made)))
        })?;
        if self.opens_freely(generation)? {
            return TpmWrappingKey::find(self.clone(), label);
        }
        Ok(TpmWrappingKey::of(self.clone(), made))
    }

    /// Destroys a key of ours, or an anchor: what is in the TPM, and the files. Whether there was any. Blocks.
    pub fn evict(&self, label: &str) -> Result<bool, CustodyError> {
        check_label(label)?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let label = label.to_owned();
        self.run(move |link| destroy(link, &label))
    }

    /// The NV indices of our making that no sealed file names: the halves of epochs, and what a kill or an undone
    /// transaction left behind. Blocks.
    pub fn other_halves(&self) -> Result<Vec<u32>, CustodyError> {
        let references = self.references()?;
        let named: Vec<u32> = self.sealed()?.into_iter().map(|sealed| sealed.nv_index).collect();
        self.run(move |link| {
            let ours = nv::ours(link, &references)?.into_iter().map(Half::index);
            Ok(ours.filter(|index| !named.contains(index)).collect())
        })
    }

    /// Every policy that a half of ours may be read under.
    fn references(&self) -> Result<Vec<Reference>, CustodyError> {
        let sealed = (FIRST..=self.generation()?).map(|generation| Reference::Sealed { generation });
        Ok(sealed.chain([Reference::Standing]).collect())
    }

    /// Undefines an NV index that is one of the [`other_halves`](Self::other_halves). Whether it was there. Blocks.
    pub fn evict_half(&self, index: u32) -> Result<bool, CustodyError> {
        let operation = "TPM2_NV_UndefineSpace";
        let half = Half::at(index).ok_or_else(|| {
            let message = format!("0x{index:08x} is no NV index of the owner's range");
            error(ErrorKind::Misconfigured, operation, message, "Run: local-vault custody tpm status")
        })?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        let references = self.references()?;
        if self.sealed()?.iter().any(|sealed| sealed.has(index)) {
            let message = format!("0x{index:08x} is the half of a key, or of an anchor");
            let advice = "Nothing was destroyed. A key or an anchor goes by its label.";
            return Err(error(ErrorKind::Refused, operation, message, advice));
        }
        self.run(move |link| half.destroy(link, &references))
    }
}

/// What [`Tpm::evict`] does, once the folder is locked.
pub(super) fn destroy(link: &mut Link, label: &str) -> Result<bool, Fault> {
    let folder = link.config.folder.clone();
    let mut there = false;
    if SealedFile::path(&folder, label).exists() {
        let sealed = SealedFile::read(&folder, label)?;
        if let Content::Anchor { indices, .. } = sealed.content {
            indices.destroy(link)?;
        }
        sealed.destroy_replaced(link)?;
        sealed.secret.destroy(link)?;
    }
    let files = [SealedFile::path(&folder, label), Covered::path(&folder, label), ResidentKey::path(&folder, label)];
    for path in files.iter().filter(|path| path.exists()) {
        durable::remove(path)?;
        there = true;
    }
    Ok(there)
}

fn refuse_provisioned(folder: &Path) -> Result<(), CustodyError> {
    if policy_folder::paths(folder)?.is_empty() {
        return Ok(());
    }
    let message = format!("{} was provisioned before", folder.display());
    let advice = "Nothing was changed. For another board name another folder as custody.tpm.folder.";
    Err(error(ErrorKind::Refused, "provision", message, advice))
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
    // Covered first: a key that nothing covers would die with the board.
    let cover = Covered::path(&link.config.folder, label);
    if let Some(covered) = &covered {
        durable::make_folder(&link.config.folder)?;
        durable::create(&cover, &covered.to_bytes())?;
    }
    let sealed = SealedSecret::seal(link, generation, &seed)
        .and_then(|secret| keep(link, &path, SealedFile::new(Content::Seed(public.clone()), secret)));
    if sealed.is_err() && covered.is_some() {
        let _ = durable::remove(&cover);
    }
    sealed.map(|()| public)
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
pub(super) fn keep(link: &mut Link, path: &Path, file: SealedFile) -> Result<(), Fault> {
    let kept = durable::make_folder(&link.config.folder).and_then(|()| durable::create(path, &file.to_bytes()));
    if kept.is_err() {
        let _ = file.secret.destroy(link);
    }
    Ok(kept?)
}

pub(super) fn free(path: &Path) -> Result<PathBuf, CustodyError> {
    if path.exists() { Err(durable::taken(path)) } else { Ok(path.to_owned()) }
}

/// A label is the name of a file.
pub(super) fn check_label(label: &str) -> Result<(), CustodyError> {
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
