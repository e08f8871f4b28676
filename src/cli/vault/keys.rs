use std::sync::Arc;

use super::{Vault, missing};
use crate::cli::failure::Failure;
#[cfg(feature = "pkcs11")]
use crate::config::Wrapping;
use crate::config::{CustodySettings, KeyPlace, KeySetting};
use crate::custody::file::{Encryption, RootKey, load_signing_key};
use crate::custody::{
    ErrorKind, Protection, Purpose, PurposeKey, Signer, SignerConfig, SigningKey as _, WrappingKey, one_key_one_purpose,
};
use crate::ingest::Attestor;

/// A signing key as it was loaded.
#[derive(Debug, Clone)]
pub(in crate::cli) struct LoadedKey {
    pub(in crate::cli) key: PurposeKey,
    pub(in crate::cli) source: String,
    pub(in crate::cli) kept: Kept,
}

impl LoadedKey {
    /// Checks that a key in a device is there and fit. What was read from a file was checked when it was read.
    pub(in crate::cli) fn check(&self) -> Result<(), Failure> {
        Ok(self.key.check_key()?)
    }

    /// Whether a device releases it to our memory.
    pub(in crate::cli) fn is_released(&self) -> bool {
        self.key.protection() == Protection::DeviceReleased
    }
}

/// How a private key is kept while it is not used.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Kept {
    File(Encryption),
    #[cfg(feature = "tpm")]
    Sealed,
    #[cfg(feature = "pkcs11")]
    Token,
    #[cfg(feature = "tpm")]
    Tpm,
}

/// Signatures that are made at once with a key in a device: enough for the sessions of most of them.
#[cfg(feature = "pkcs11")]
const SESSIONS: usize = 4;

impl Vault {
    /// Every key that was configured, by purpose. One key under two purposes is refused, but for the published
    /// settings, whose one key serves relay and witness.
    pub(in crate::cli) fn signing_keys(&self) -> Result<Vec<LoadedKey>, Failure> {
        let loaded: Vec<LoadedKey> = self.load_keys().into_iter().collect::<Result<_, _>>()?;
        self.check_purposes(&loaded)?;
        Ok(loaded)
    }

    /// Every key that was configured, or why it does not load.
    pub(in crate::cli) fn load_keys(&self) -> Vec<Result<LoadedKey, Failure>> {
        let CustodySettings { relay, source, witness, witness_next, record, .. } = &self.settings.custody;
        let all = [
            (Purpose::Relay, relay),
            (Purpose::Source, source),
            (Purpose::Witness, witness),
            (Purpose::Witness, witness_next),
            (Purpose::Record, record),
        ];
        let named: Vec<_> = all.iter().filter_map(|(purpose, key)| Some((*purpose, key.as_ref()?))).collect();
        // Encrypted keys take their time each: a thread each.
        std::thread::scope(|scope| {
            let spawn = |&(purpose, key)| scope.spawn(move || self.load_key(purpose, key));
            let threads: Vec<_> = named.iter().map(spawn).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(broke()))).collect()
        })
    }

    /// Refuses one key under two purposes.
    pub(in crate::cli) fn check_purposes(&self, loaded: &[LoadedKey]) -> Result<(), Failure> {
        let shared = self.settings.custody.published_signing_key;
        let keys: Vec<&PurposeKey> = loaded
            .iter()
            .map(|loaded| &loaded.key)
            .filter(|key| !(shared && key.purpose() == Purpose::Witness))
            .collect();
        one_key_one_purpose(&keys).map_err(|e| {
            Failure::config(e.to_string(), "Make a key of its own for each purpose; `custody report` shows them.")
        })
    }

    /// A signer for a purpose. All keys are loaded, to see that none serves two. A key in a device is checked now,
    /// where the device is there; where it is away, the signer says so at each signature until it is back. A relay key
    /// of which less can be shown than is asked for signs nothing.
    pub(in crate::cli) fn signer(&self, purpose: Purpose) -> Result<Signer, Failure> {
        self.signer_of(self.key_for(purpose)?)
    }

    /// The same for a key that is loaded already.
    pub(in crate::cli) fn signer_of(&self, loaded: LoadedKey) -> Result<Signer, Failure> {
        check_unless_away(&loaded.key)?;
        if loaded.key.purpose() == Purpose::Relay {
            self.check_assurance(&loaded)?;
        }
        let config = match loaded.kept {
            #[cfg(feature = "pkcs11")]
            Kept::Token => SignerConfig { threads: SESSIONS, ..SignerConfig::default() },
            _ => SignerConfig::default(),
        };
        Ok(Signer::spawn(loaded.key, config))
    }

    /// Signs source attestations.
    pub(in crate::cli) fn attestor(&self) -> Result<Attestor, Failure> {
        let installation_id = self.installation_id()?.to_owned();
        Ok(Attestor { installation_id, signer: self.signer(Purpose::Source)?, clock: self.clock.clone() })
    }

    /// The same, where a key for that is configured.
    pub(in crate::cli) fn configured_attestor(&self) -> Result<Option<Attestor>, Failure> {
        self.settings.custody.source.is_some().then(|| self.attestor()).transpose()
    }

    fn load_key(&self, purpose: Purpose, setting: &KeySetting) -> Result<LoadedKey, Failure> {
        match &setting.place {
            KeyPlace::File { source, passphrase } => {
                let (key, encryption) = load_signing_key(source, passphrase.as_ref())?;
                self.check_minimum(purpose.name(), key.protection())?;
                let key = PurposeKey::bind(purpose, &setting.kid, Arc::new(key))?;
                Ok(LoadedKey { key, source: source.name(), kept: Kept::File(encryption) })
            }
            #[cfg(feature = "pkcs11")]
            KeyPlace::Token { name, public_key } => {
                let key = Arc::new(self.token_key(name, public_key.as_ref())?);
                self.check_minimum(purpose.name(), key.protection())?;
                let key = PurposeKey::bind(purpose, &setting.kid, key)?;
                Ok(LoadedKey { key, source: name.to_string(), kept: Kept::Token })
            }
            #[cfg(feature = "tpm")]
            KeyPlace::Tpm { label, public_key } => {
                let (key, kept) = self.tpm_key(label, public_key)?;
                self.check_minimum(purpose.name(), key.protection())?;
                let key = PurposeKey::bind(purpose, &setting.kid, key)?;
                Ok(LoadedKey { key, source: format!("key {label:?}"), kept })
            }
        }
    }

    /// The key that wraps the spool's data keys: in the token, or the root key of the file backend.
    pub(in crate::cli) fn wrapping_key(&self) -> Result<Arc<dyn WrappingKey>, Failure> {
        #[cfg(feature = "pkcs11")]
        if let Some(key) = self.token_wrapping_key()? {
            self.check_minimum("wrapping", key.protection())?;
            return Ok(Arc::new(key));
        }
        #[cfg(feature = "tpm")]
        if self.settings.custody.tpm.is_some() {
            let key = self.tpm_wrapping_key()?;
            self.check_minimum("wrapping", key.protection())?;
            return Ok(Arc::new(key));
        }
        Ok(self.root_key()?)
    }

    /// The root key of the file backend. Where a token wraps, it opens published spools and nothing else.
    pub(in crate::cli) fn root_key(&self) -> Result<Arc<RootKey>, Failure> {
        let source = self.settings.custody.encryption_key.as_ref();
        let source =
            source.ok_or_else(|| missing("encryption key", "ENCRYPTION_KEY", "custody.file.encryption_key_file"))?;
        let root = RootKey::load(source)?;
        if !self.wraps_in_a_device() {
            self.check_minimum("encryption", root.protection())?;
        }
        Ok(Arc::new(root))
    }

    /// Whether a wrapping key is named, or needed by what is: a host that only witnesses has no spool.
    pub(in crate::cli) fn has_wrapping_key(&self) -> bool {
        let CustodySettings { encryption_key, relay, source, record, .. } = &self.settings.custody;
        let named = false;
        #[cfg(feature = "pkcs11")]
        let named = named
            || matches!(&self.settings.custody.token, Some(token) if matches!(token.wrapping, Wrapping::Token(Some(_))));
        #[cfg(feature = "tpm")]
        let named = named || self.settings.custody.tpm.as_ref().is_some_and(|tpm| tpm.wrapping.is_some());
        let needed = [relay, source, record].iter().any(|key| key.is_some());
        named || (needed && self.wraps_in_a_device()) || (encryption_key.is_some() && !self.wraps_in_a_device())
    }

    /// Whether a device wraps the spool's data keys.
    pub(in crate::cli) fn wraps_in_a_device(&self) -> bool {
        let wraps = false;
        #[cfg(feature = "pkcs11")]
        let wraps = wraps
            || matches!(&self.settings.custody.token, Some(token) if matches!(token.wrapping, Wrapping::Token(_)));
        #[cfg(feature = "tpm")]
        let wraps = wraps || self.settings.custody.tpm.is_some();
        wraps
    }

    /// Whether what the device releases it releases once a boot, so that nothing of it is opened only to look.
    pub(in crate::cli) fn releases_once_a_boot(&self) -> Result<bool, Failure> {
        #[cfg(feature = "tpm")]
        if self.settings.custody.tpm.as_ref().is_some_and(|tpm| tpm.device.policy_key.is_some()) {
            return Ok(self.tpm()?.releases_once_a_boot()?);
        }
        Ok(false)
    }

    fn check_minimum(&self, key: &str, has: Protection) -> Result<(), Failure> {
        let minimum = self.settings.custody.minimum;
        if has >= minimum {
            return Ok(());
        }
        Err(Failure::config(
            format!("the {key} key is {}, and the configuration asks for {}", has.name(), minimum.name()),
            "Name a key in a device, or lower custody.minimum_protection.",
        ))
    }

    /// The key of our own records: the one that is named, or one derived from the root key.
    pub(in crate::cli) fn record_key(&self) -> Result<PurposeKey, Failure> {
        if let Some(key) = self.record.get() {
            return Ok(key.clone());
        }
        let key = self.load_record_key()?;
        Ok(self.record.get_or_init(|| key).clone())
    }

    fn load_record_key(&self) -> Result<PurposeKey, Failure> {
        match &self.settings.custody.record {
            // A spool signs with this key and no other, so that nobody else would see that it serves two purposes. The
            // public halves of a token's keys are pinned: to load them all touches nothing.
            Some(_) if self.wraps_in_a_device() => {
                let mut keys = self.signing_keys()?.into_iter().map(|loaded| loaded.key);
                keys.find(|key| key.purpose() == Purpose::Record).ok_or_else(broke)
            }
            Some(setting) => Ok(self.load_key(Purpose::Record, setting)?.key),
            None if self.wraps_in_a_device() => Err(Failure::config(
                "no record key is configured, and a key in a device derives none",
                "Make one with `local-vault custody generate record`, and name it under [custody.keys.record].",
            )),
            None => self.derived_record_key(&*self.root_key()?),
        }
    }

    /// The key of our own records that the root key gives.
    pub(in crate::cli) fn derived_record_key(&self, root: &RootKey) -> Result<PurposeKey, Failure> {
        Ok(PurposeKey::bind(Purpose::Record, root.key_id(), Arc::new(root.record_key()))?)
    }
}

/// A key that is unfit stops the start; one whose device is away does not.
fn check_unless_away(key: &PurposeKey) -> Result<(), Failure> {
    match key.check_key() {
        Err(e) if e.kind == ErrorKind::Away => {
            tracing::info!(error = e.origin(), "the signing key is away");
            Ok(())
        }
        checked => Ok(checked?),
    }
}

fn broke() -> Failure {
    Failure::software("loading a key broke off")
}
