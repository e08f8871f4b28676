use std::sync::Arc;

use super::{Vault, missing};
use crate::cli::failure::Failure;
use crate::config::{CustodySettings, KeySetting};
use crate::custody::file::{Encryption, RootKey, load_signing_key};
use crate::custody::{
    Protection, Purpose, PurposeKey, Signer, SignerConfig, SigningKey as _, WrappingKey as _, one_key_one_purpose,
};

/// A signing key as it was loaded.
#[derive(Debug, Clone)]
pub(in crate::cli) struct LoadedKey {
    pub(in crate::cli) key: PurposeKey,
    pub(in crate::cli) encryption: Encryption,
    pub(in crate::cli) source: String,
}

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
        let CustodySettings { relay, source, witness, record, .. } = &self.settings.custody;
        let all = [
            (Purpose::Relay, relay),
            (Purpose::Source, source),
            (Purpose::Witness, witness),
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

    /// A signer for a purpose. All keys are loaded, to see that none serves two.
    pub(in crate::cli) fn signer(&self, purpose: Purpose) -> Result<Signer, Failure> {
        let key = self.signing_keys()?.into_iter().find(|loaded| loaded.key.purpose() == purpose);
        let key = key.ok_or_else(|| {
            let name = purpose.name();
            let published = matches!(purpose, Purpose::Relay | Purpose::Witness);
            let or = if published { ", or set ATTESTO_LOCAL_VAULT_SIGNING_KEY" } else { "" };
            Failure::config(
                format!("no {name} key is configured"),
                format!("Name one under [custody.keys.{name}] in the config file{or}."),
            )
        })?;
        if key.key.kid().is_empty() {
            return Err(missing("key id", "KEY_ID", &format!("custody.keys.{}.kid", purpose.name())));
        }
        Ok(Signer::spawn(key.key, SignerConfig::default()))
    }

    fn load_key(&self, purpose: Purpose, setting: &KeySetting) -> Result<LoadedKey, Failure> {
        let (key, encryption) = load_signing_key(&setting.source, setting.passphrase.as_ref())?;
        self.check_minimum(purpose.name(), key.protection())?;
        let key = PurposeKey::bind(purpose, &setting.kid, Arc::new(key))?;
        Ok(LoadedKey { key, encryption, source: setting.source.name() })
    }

    /// The root key of the file backend.
    pub(in crate::cli) fn root_key(&self) -> Result<Arc<RootKey>, Failure> {
        let source = self.settings.custody.encryption_key.as_ref();
        let source =
            source.ok_or_else(|| missing("encryption key", "ENCRYPTION_KEY", "custody.file.encryption_key_file"))?;
        let root = RootKey::load(source)?;
        self.check_minimum("encryption", root.protection())?;
        Ok(Arc::new(root))
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
    pub(in crate::cli) fn record_key(&self, root: &RootKey) -> Result<PurposeKey, Failure> {
        match &self.settings.custody.record {
            Some(setting) => Ok(self.load_key(Purpose::Record, setting)?.key),
            None => Ok(PurposeKey::bind(Purpose::Record, root.key_id(), Arc::new(root.record_key()))?),
        }
    }
}

fn broke() -> Failure {
    Failure::software("loading a key broke off")
}
