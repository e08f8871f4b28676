use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key_file::KeySource;
use super::signing::FileKey;
use super::{broken, fernet, misconfigured, published};
use crate::custody::{CustodyError, DataKey, Protection, ReleasedDataKey, WrappedKey, WrappingKey};
use crate::facts::LockedKey;

/// The root key of the file backend, the published ENCRYPTION_KEY. Nothing is encrypted with it itself: each use has
/// a key derived from it (HKDF-SHA256, RFC 5869), apart from the published package's own rows, which are read only.
pub struct RootKey {
    root: LockedKey,
    key_id: String,
}

/// One derivation a use; a new use takes a new label.
const WRAP: &[u8] = b"local-vault.file.wrap.v1";
const RECORD: &[u8] = b"local-vault.file.record.v1";
const KEY_ID: &[u8] = b"local-vault.file.key-id.v1";

/// AES-256-GCM's nonce, in bytes.
const NONCE: usize = 12;

impl RootKey {
    /// Loads 32 bytes in padded base64, of the URL-safe or the standard alphabet; white space around them is ignored.
    pub fn load(source: &KeySource) -> Result<Self, CustodyError> {
        let text = source.read()?;
        let key = text.expose_str().and_then(|text| published::root_key(text.trim()));
        let Some(mut key) = key else {
            let advice = "It is 32 bytes in base64; local-vault generate-encryption-key makes one.";
            return Err(misconfigured("parse", format!("{} is not an encryption key", source.name()), advice));
        };
        Ok(Self::new(&mut key))
    }

    /// Takes the key over and wipes the caller's copy.
    pub fn new(key: &mut [u8; 32]) -> Self {
        let root = LockedKey::new(key);
        let id = derive(&root, KEY_ID);
        Self { key_id: format!("file-{}", hex::encode(&id[..8])), root }
    }

    /// The key for our own records where the configuration names none, so that a process that only enqueues needs
    /// no signing key.
    pub fn record_key(&self) -> FileKey {
        FileKey::from_seed(*derive(&self.root, RECORD))
    }

    /// Opens a row of the published package's spool, a Fernet token, whatever its time stamp says. Fails without
    /// telling why.
    pub fn open_published(&self, token: &[u8]) -> Result<Zeroizing<Vec<u8>>, CustodyError> {
        fernet::open(self.root.expose(), token).ok_or_else(|| {
            let advice = "Was the spool written with another ENCRYPTION_KEY? Nothing was imported from this row.";
            broken("open", "a row of the published spool does not open with this key".into(), advice)
        })
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*derive(&self.root, WRAP)).into())
    }
}

impl WrappingKey for RootKey {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn scheme(&self) -> &'static str {
        "file-aes-256-gcm"
    }

    fn protection(&self) -> Protection {
        Protection::Software
    }

    fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
        let no_luck = || broken("wrap", "the kernel gave no randomness".into(), "Start again once the system is up.");
        let mut key = Zeroizing::new([0; 32]);
        let mut nonce = [0; NONCE];
        getrandom::fill(key.as_mut()).and_then(|()| getrandom::fill(&mut nonce)).map_err(|_| no_luck())?;
        let payload = Payload { msg: key.as_ref(), aad: context };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| no_luck())?;
        let wrapped = WrappedKey([nonce.as_slice(), &sealed].concat());
        Ok((wrapped, Arc::new(ReleasedDataKey::new(&mut key))))
    }

    fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
        let fail = || {
            let advice = "The spool belongs to another encryption key, or its epoch record was changed.";
            broken("unwrap", "an epoch's data key does not unwrap".into(), advice)
        };
        let (nonce, sealed) = wrapped.0.split_first_chunk::<NONCE>().ok_or_else(fail)?;
        let opened = self.cipher().decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: context });
        let opened = opened.map(Zeroizing::new).map_err(|_| fail())?;
        let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(opened.as_slice().try_into().map_err(|_| fail())?);
        Ok(Arc::new(ReleasedDataKey::new(&mut key)))
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.key_id)
    }
}

fn derive(root: &LockedKey, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    // HKDF gives up to 255 hashes; one was asked for.
    Hkdf::<Sha256>::new(None, root.expose()).expand(label, key.as_mut()).expect("32 bytes from HKDF-SHA256");
    key
}

/// A new root key in the published form: 32 random bytes in URL-safe base64, padded.
/// Panics only where the kernel gives no randomness.
pub fn generate_root_key() -> Zeroizing<String> {
    let mut key = Zeroizing::new([0u8; 32]);
    // The kernel fails this only before its pool is ready, and then it blocks instead.
    getrandom::fill(key.as_mut()).expect("the kernel's randomness");
    Zeroizing::new(URL_SAFE.encode(key.as_slice()))
}
