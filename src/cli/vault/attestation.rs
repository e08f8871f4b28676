use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{LoadedKey, Vault, missing};
use crate::cli::failure::Failure;
#[cfg(feature = "tpm")]
use crate::config::AkAlgorithm;
#[cfg(feature = "tpm")]
use crate::custody::tpm::{QuoteAlgorithm, Tcti, Tpm, TpmConfig, TpmQuoter};
use crate::custody::{self, Purpose, PurposeKey, Quoter};
use crate::facts::{Digest, random_id};
use crate::protocol::attestation::{Assurance, Evidence, Measurement, SignedRecord, TokenIdentity};
use crate::protocol::json::{self, Object, Value};
use crate::protocol::tpm::Quote;

/// What could be shown of the relay key's custody.
pub(in crate::cli) struct Attested {
    pub(in crate::cli) key: PurposeKey,
    /// None for a key that is not in a token, of which there is nothing to show.
    pub(in crate::cli) signed: Option<SignedRecord>,
    /// Why there is no quote, where one was configured and less will do.
    pub(in crate::cli) downgraded: Option<Failure>,
}

impl Attested {
    pub(in crate::cli) fn assurance(&self) -> Assurance {
        self.signed.as_ref().map_or(Assurance::L0, |signed| signed.record.assurance())
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Vault {
    /// Makes and signs a record of the relay key's custody, and verifies it. What is configured is reached, or this is a
    /// failure; a quote that fails is passed over only where it is written that less will do. Blocks.
    pub(in crate::cli) fn attest(&self) -> Result<Attested, Failure> {
        let loaded = self.relay_key()?;
        let minimum = self.settings.attestation.minimum;
        let Some(token) = self.token_identity(&loaded)? else {
            return match minimum {
                Assurance::L0 => Ok(Attested { key: loaded.key, signed: None, downgraded: None }),
                _ => Err(unmet(minimum, "the relay key is not in a token")),
            };
        };
        let measurement = self.measurement(&loaded.key)?;
        let (quoted, downgraded) = match self.quote(&measurement) {
            Ok(quoted) => (quoted, None),
            Err(failure) if minimum < Assurance::L2 => (None, Some(failure)),
            Err(failure) => return Err(unless_away(minimum, failure)),
        };
        if quoted.is_none() && minimum == Assurance::L2 {
            return Err(unmet(minimum, "no quote is configured"));
        }
        let signed = custody::attest(&loaded.key, measurement, token, quoted)?;
        Ok(Attested { key: loaded.key, signed: Some(signed), downgraded })
    }

    /// Stops what signs with the relay key where less can be shown of it than is asked for. A token that is away has no
    /// say: nothing is signed until it is back, and it is checked then. A TPM that is away is waited for as a token is.
    pub(super) fn check_assurance(&self, relay: &LoadedKey) -> Result<(), Failure> {
        let minimum = self.settings.attestation.minimum;
        if minimum == Assurance::L0 {
            return Ok(());
        }
        if !is_in_a_token(relay) {
            return Err(unmet(minimum, "the relay key is not in a token"));
        }
        if minimum == Assurance::L1 {
            return Ok(());
        }
        match self.quote(&self.measurement(&relay.key)?) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(unmet(minimum, "no quote is configured")),
            Err(failure) => Err(unless_away(minimum, failure)),
        }
    }

    /// The relay key, with its name.
    pub(in crate::cli) fn relay_key(&self) -> Result<LoadedKey, Failure> {
        self.key_for(Purpose::Relay)
    }

    /// A verified quote over the measurement, where one is configured.
    fn quote(&self, measurement: &Measurement) -> Result<Option<(Quote, Evidence)>, Failure> {
        let quoter = self.quoter()?;
        Ok(quoter.map(|quoter| custody::quote(&*quoter, measurement)).transpose()?)
    }

    /// The TPM that quotes, where one is configured.
    #[cfg(feature = "tpm")]
    fn quoter(&self) -> Result<Option<Box<dyn Quoter>>, Failure> {
        let Some(settings) = &self.settings.attestation.quote else { return Ok(None) };
        let algorithm = match settings.ak_algorithm {
            AkAlgorithm::Ecc => QuoteAlgorithm::Ecc,
            AkAlgorithm::Rsa => QuoteAlgorithm::Rsa,
        };
        let tcti = Tcti::parse(settings.tcti.as_deref().unwrap_or(Tcti::DEFAULT))?;
        let (tpm, keys) = match &self.settings.custody.tpm {
            // The same connection: a simulator serves one.
            Some(custody) if custody.tcti == tcti => (self.tpm()?, self.resident_keys()),
            _ => (Tpm::new(TpmConfig::for_quotes(tcti, settings.pcrs.clone())), Vec::new()),
        };
        Ok(Some(Box::new(TpmQuoter::new(tpm, settings.pcrs.clone(), settings.ak_handle, algorithm, keys))))
    }

    /// The TPM that quotes, where one is configured.
    #[cfg(not(feature = "tpm"))]
    fn quoter(&self) -> Result<Option<Box<dyn Quoter>>, Failure> {
        match self.settings.attestation.quote {
            None => Ok(None),
            Some(_) => Err(Failure::config("this build speaks to no TPM", "Install one with the feature tpm.")),
        }
    }

    /// What runs, with which key, now.
    pub(in crate::cli) fn measurement(&self, key: &PurposeKey) -> Result<Measurement, Failure> {
        let settings = &self.settings.attestation;
        let edge_core_sha256 = match settings.edge_core {
            Some(digest) => digest,
            None => running_executable()?,
        };
        let provider_manifest_digest = match &settings.provider_manifests {
            Some(folder) => manifests(folder)?,
            None => {
                let digest = self.settings.security_digest();
                digest.map_err(|e| Failure::io("cannot measure the configuration", &e))?
            }
        };
        let mut nonce = [0; 16];
        // The digits are ours.
        hex::decode_to_slice(random_id(""), &mut nonce).expect("32 hex digits");
        Ok(Measurement {
            local_vault_version: VERSION.to_owned(),
            edge_core_sha256,
            provider_manifest_digest,
            signing_key_id: key.kid().to_owned(),
            signing_public_key: key.public_key().clone(),
            issued_at: self.clock.now(),
            nonce,
        })
    }

    /// What holds the key, after it was checked that it does so as a record says.
    #[cfg(feature = "pkcs11")]
    fn token_identity(&self, key: &LoadedKey) -> Result<Option<TokenIdentity>, Failure> {
        if !is_in_a_token(key) {
            return Ok(None);
        }
        key.key.check_key()?;
        let facts = self.token()?.facts()?;
        Ok(Some(TokenIdentity { manufacturer: facts.manufacturer, model: facts.model }))
    }

    #[cfg(not(feature = "pkcs11"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // as with a token
    fn token_identity(&self, _: &LoadedKey) -> Result<Option<TokenIdentity>, Failure> {
        Ok(None)
    }

    /// The key that was configured for this purpose, which has a name.
    pub(super) fn key_for(&self, purpose: Purpose) -> Result<LoadedKey, Failure> {
        let loaded = self.signing_keys()?.into_iter().find(|loaded| loaded.key.purpose() == purpose);
        let loaded = loaded.ok_or_else(|| {
            let name = purpose.name();
            let published = matches!(purpose, Purpose::Relay | Purpose::Witness);
            let or = if published { ", or set ATTESTO_LOCAL_VAULT_SIGNING_KEY" } else { "" };
            Failure::config(
                format!("no {name} key is configured"),
                format!("Name one under [custody.keys.{name}] in the config file{or}."),
            )
        })?;
        if loaded.key.kid().is_empty() {
            return Err(missing("key id", "KEY_ID", &format!("custody.keys.{}.kid", purpose.name())));
        }
        Ok(loaded)
    }
}

/// A TPM's sealed key is in our memory while it signs: of that, records have nothing to show.
const fn is_in_a_token(key: &LoadedKey) -> bool {
    match key.kept {
        #[cfg(feature = "pkcs11")]
        super::Kept::Token => true,
        _ => false,
    }
}

fn unmet(minimum: Assurance, why: &str) -> Failure {
    Failure::config(
        format!("{} is asked for and cannot be shown: {why}", minimum.name()),
        "Nothing was signed. Mend that, or write a lower attestation.minimum (ATTESTO_LOCAL_VAULT_ASSURANCE).",
    )
}

/// A device that is away may be back in a moment; everything else does not mend itself.
fn unless_away(minimum: Assurance, failure: Failure) -> Failure {
    if failure.is_away() { failure } else { unmet(minimum, failure.message()) }
}

/// The file that this process was started from, also where another one lies at its path by now.
fn running_executable() -> Result<Digest, Failure> {
    let read = fs::read("/proc/self/exe");
    read.map(|bytes| Digest::of(&bytes)).map_err(|e| Failure::io("cannot measure the running executable", &e))
}

/// As published: SHA-256 over the canonical JSON of every manifest by its file's name.
fn manifests(folder: &Path) -> Result<Digest, Failure> {
    let unreadable = |path: &Path, e| Failure::io(&format!("cannot measure {}", path.display()), &e);
    let mut all = BTreeMap::new();
    // A folder that is not there has no manifests.
    let entries = if folder.is_dir() { Some(fs::read_dir(folder).map_err(|e| unreadable(folder, e))?) } else { None };
    for entry in entries.into_iter().flatten() {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_manifest(name)) else {
            continue;
        };
        let text = fs::read(&path).map_err(|e| unreadable(&path, e))?;
        let manifest = json::parse(&text).map_err(|e| Failure::config(e.to_string(), MEND).about(name))?;
        all.insert(name.to_owned(), Value::from(manifest));
    }
    let object = all.into_iter().fold(Object::new(), |object, (name, manifest)| object.with(&name, manifest));
    Ok(Digest::of(&object.to_canonical()))
}

const MEND: &str = "Mend this manifest: what is configured cannot be measured without it.";

/// As Python's `glob("*.json")` has it.
fn is_manifest(name: &str) -> bool {
    name.ends_with(".json")
}
