use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::link::Link;
use super::nv::Half;
use super::policy::Reference;
use super::sealed_file::{Content, SealedFile};
use super::worker::Tpm;
use super::{derive, error, random};
use crate::custody::{
    CustodyError, DataKey, EpochKeys, ErrorKind, Protection, ReleasedDataKey, WrappedKey, WrappingKey,
};
use crate::facts::LockedKey;

/// Wraps data keys with a secret that the TPM releases under a policy, and for each of them with a half of its own in
/// an NV index, so that an epoch is destroyed in the TPM and its wrapped key then opens nothing.
#[derive(Clone)]
pub struct TpmWrappingKey {
    tpm: Arc<Tpm>,
    secret: Arc<LockedKey>,
    key_id: String,
}

const KEY_ID: &[u8] = b"local-vault.tpm.key-id.v1";
const WRAP: &[u8] = b"local-vault.tpm.wrap.v1";

/// The index's number and AES-256-GCM's nonce, in bytes.
const INDEX: usize = 4;
const NONCE: usize = 12;

impl TpmWrappingKey {
    /// Has the secret of this label released, which must give this id: who can write to the folder and to the TPM could
    /// else put one there that he knows. Blocks.
    pub fn open(tpm: Arc<Tpm>, label: &str, key_id: &str) -> Result<Self, CustodyError> {
        let key = Self::find(tpm, label)?;
        if key.key_id != key_id {
            let message = format!("the sealed secret {label:?} is {}, and another one is expected", key.key_id);
            let advice = format!("Expected is {key_id}. Nothing was wrapped or opened.");
            return Err(error(ErrorKind::Misconfigured, "TPM2_Unseal", message, advice));
        }
        Ok(key)
    }

    /// The same, whatever its id.
    pub(super) fn find(tpm: Arc<Tpm>, label: &str) -> Result<Self, CustodyError> {
        let other = match SealedFile::read(&tpm.config().folder, label)?.content {
            Content::Anchor { .. } => Some("the secret of an anchor"),
            Content::Seed(_) => Some("a signing seed"),
            Content::Wrapping => None,
        };
        if let Some(other) = other {
            let message = format!("the sealed secret {label:?} is {other}");
            let advice = "Name one that was made with `custody generate wrapping` under [custody.tpm.wrapping].";
            return Err(error(ErrorKind::Misconfigured, "find", message, advice));
        }
        let secret = tpm.secret(label)?;
        Ok(Self::of(tpm, secret))
    }

    /// The key that has this secret.
    pub(super) fn of(tpm: Arc<Tpm>, secret: Arc<LockedKey>) -> Self {
        let id = derive(secret.expose(), KEY_ID);
        Self { key_id: format!("tpm-{}", hex::encode(&id[..8])), tpm, secret }
    }

    /// What wraps the data key whose half this is.
    fn cipher(&self, half: &[u8; 32]) -> Aes256Gcm {
        let mut both = Zeroizing::new([0; 64]);
        both[..32].copy_from_slice(self.secret.expose());
        both[32..].copy_from_slice(half);
        Aes256Gcm::new((&*derive(both.as_slice(), WRAP)).into())
    }

    fn half(&self, half: Half) -> Result<Zeroizing<[u8; 32]>, CustodyError> {
        let read = self.tpm.run(move |link: &mut Link| half.read(link, Reference::Standing))?;
        read.ok_or_else(|| {
            let advice =
                "Its epoch was destroyed, or this is another TPM. What was sealed under it does not open again.";
            error(ErrorKind::Broken, "TPM2_NV_Read", "the TPM has no half of this data key", advice)
        })
    }

    /// Where the half of a wrapped key is, its nonce, and the sealed key.
    fn parts(wrapped: &WrappedKey) -> Option<(Half, [u8; NONCE], &[u8])> {
        let (index, rest) = wrapped.0.split_first_chunk::<INDEX>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        Some((Half::at(u32::from_be_bytes(*index))?, *nonce, sealed))
    }

    fn wrap(&self, half: Half, stored: &[u8; 32], context: &[u8]) -> Result<WrappedKey, CustodyError> {
        let read = self.half(half)?;
        if *read != *stored {
            let advice = "Nothing was wrapped. Does another program use the owner's NV indices?";
            return Err(error(ErrorKind::Broken, "TPM2_NV_Read", "the TPM gave another half than was stored", advice));
        }
        let (key, nonce) = (random::<32>()?, random::<NONCE>()?);
        let payload = Payload { msg: key.as_slice(), aad: context };
        let sealed = self.cipher(&read).encrypt(&Nonce::from(*nonce), payload);
        let sealed = sealed.map_err(|_| does_not_unwrap())?;
        Ok(WrappedKey([half.index().to_be_bytes().as_slice(), nonce.as_slice(), &sealed].concat()))
    }
}

impl WrappingKey for TpmWrappingKey {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn scheme(&self) -> &'static str {
        "tpm-nv-half-aes-256-gcm"
    }

    fn protection(&self) -> Protection {
        Protection::DeviceReleased
    }

    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        let stored = random::<32>()?;
        let kept = stored.clone();
        let half = self.tpm.run(move |link: &mut Link| Half::store(link, Reference::Standing, &stored))?;
        // The half is read back: what is used is what unwraps, and what nobody else put there.
        let made = self.wrap(half, &kept, context).and_then(|wrapped| {
            let key = self.unwrap_data_key(&wrapped, context)?;
            Ok((wrapped, key))
        });
        if made.is_err() {
            // Nobody knows of the index yet.
            let _ = self.tpm.run(move |link: &mut Link| half.destroy(link, &[Reference::Standing]));
        }
        made
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        let (half, nonce, sealed) = Self::parts(wrapped).ok_or_else(does_not_unwrap)?;
        let payload = Payload { msg: sealed, aad: context };
        let opened = self.cipher(&*self.half(half)?).decrypt(&Nonce::from(nonce), payload);
        let opened = opened.map(Zeroizing::new).map_err(|_| does_not_unwrap())?;
        let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(opened.as_slice().try_into().map_err(|_| does_not_unwrap())?);
        Ok(Arc::new(ReleasedDataKey::new(&mut key)))
    }

    fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
        Some(self)
    }
}

impl EpochKeys for TpmWrappingKey {
    fn destroy(&self, wrapped: &WrappedKey) -> Result<bool, CustodyError> {
        let (half, ..) = Self::parts(wrapped).ok_or_else(does_not_unwrap)?;
        self.tpm.run(move |link: &mut Link| -> Result<bool, Fault> { half.destroy(link, &[Reference::Standing]) })
    }
}

impl fmt::Debug for TpmWrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TpmWrappingKey({})", self.key_id)
    }
}

fn does_not_unwrap() -> CustodyError {
    let advice = "The spool belongs to another key, or its epoch record was changed.";
    error(ErrorKind::Broken, "unwrap", "an epoch's data key does not unwrap", advice)
}
