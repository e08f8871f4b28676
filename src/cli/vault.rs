mod attestation;
mod audit;
mod keys;
mod measurement;
mod peers;
mod quoter;
#[cfg(feature = "pkcs11")]
mod token;
#[cfg(feature = "tpm")]
mod tpm;
mod witness;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::failure::Failure;
use super::import;
use super::log::Log;
use crate::audit::{Audit, Event};
use crate::config::{Flags, Settings};
#[cfg(feature = "pkcs11")]
use crate::custody::pkcs11::Token;
#[cfg(feature = "tpm")]
use crate::custody::tpm::Tpm;
use crate::custody::{Purpose, PurposeKey, RecordedWrappingKey, ScratchKey, Signer, WrappingKey};
use crate::facts::{Clock, SystemClock, with_suffix};
use crate::ingest::Rules;
use crate::relay::{Client, ClientConfig, Drain, DrainConfig, Endpoint, Proxy, TIMEOUT, Trust};
use crate::spool::import::is_published_spool;
use crate::spool::{self, Spool, SpoolControl, SpoolKeys, SpoolReader};
use crate::store::{FileKind, Schema, StoreError, file_kind};
use crate::witness::{self as witnessing, is_published_witness};
pub(super) use attestation::Attested;
pub(super) use keys::{Kept, LoadedKey};
pub(super) use peers::Asked;
pub(super) use witness::Stands;

/// What the configuration amounts to: builds each room from it, and hands out what was built.
#[derive(Debug)]
pub(super) struct Vault {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    audit: OnceLock<Arc<Audit>>,
    record: OnceLock<PurposeKey>,
    pub(super) log: Log,
    #[cfg(feature = "pkcs11")]
    token: OnceLock<Arc<Token>>,
    #[cfg(feature = "tpm")]
    tpm: OnceLock<Arc<Tpm>>,
}

/// A store's path, and a database of the published package that it takes over.
struct Resolved {
    path: PathBuf,
    published: Option<PathBuf>,
}

impl Vault {
    pub(super) fn load(flags: &Flags) -> Result<Self, Failure> {
        let settings = read_settings(flags)?;
        Ok(Self {
            log: Log::start(settings.log)?,
            settings,
            clock: Arc::new(SystemClock),
            audit: OnceLock::new(),
            record: OnceLock::new(),
            #[cfg(feature = "pkcs11")]
            token: OnceLock::new(),
            #[cfg(feature = "tpm")]
            tpm: OnceLock::new(),
        })
    }

    /// The installation that was configured.
    pub(super) fn installation_id(&self) -> Result<&str, Failure> {
        required(self.settings.installation_id.as_deref(), "installation id", "INSTALLATION_ID", "installation.id")
    }

    /// The spool, open for writing. A published spool at its path is imported first.
    pub(super) async fn spool(&self) -> Result<Arc<Spool>, Failure> {
        Ok(self.spool_and_path().await?.0)
    }

    /// The spool and where it lies. Looking where it lies may copy a published database, so it is done once.
    pub(super) async fn spool_and_path(&self) -> Result<(Arc<Spool>, PathBuf), Failure> {
        let resolved = self.resolve_spool()?;
        self.make_folder(&resolved.path)?;
        if let Some(published) = resolved.published.as_ref().filter(|_| !resolved.path.exists()) {
            import::check_spool(&resolved.path, published, self.root_key()?)?;
        }
        let spool = self.spool_at(&resolved.path)?;
        if let Some(published) = resolved.published {
            import::spool_on_opening(&spool, &resolved.path, &published, self.root_key()?, &*self.audit()?).await?;
        }
        Ok((Arc::new(spool), resolved.path))
    }

    /// Opens the spool and imports the published one at `source` into it.
    pub(super) async fn import_spool(&self, source: &Path) -> Result<(), Failure> {
        let (path, root) = (self.spool_path()?, self.root_key()?);
        if !path.exists() {
            import::check_spool(&path, source, root.clone())?;
        }
        let spool = self.spool().await?;
        Ok(import::import_spool(&spool, &path, source, root, &*self.audit()?).await?)
    }

    /// A spool at a path of its own, with the configured keys.
    pub(super) fn spool_at(&self, path: &Path) -> Result<Spool, Failure> {
        self.open_spool(path, self.recorded_wrapping_key()?)
    }

    /// A spool that does not last: the device forgets what it keeps for it once it is closed.
    pub(super) fn scratch_spool_at(&self, path: &Path) -> Result<Spool, Failure> {
        self.open_spool(path, Arc::new(ScratchKey::new(self.recorded_wrapping_key()?)))
    }

    fn open_spool(&self, path: &Path, wrapping: Arc<dyn WrappingKey>) -> Result<Spool, Failure> {
        let (audit, is_new) = (self.audit()?, !path.exists());
        let record = self.record_key()?.recorded(audit.clone());
        let spool = Spool::open(path, SpoolKeys { record, wrapping }, self.clock.clone())?;
        spool.set_bounds(self.settings.bounds.limits, self.settings.bounds.retention);
        if is_new {
            audit.note(Event::epoch_rotated(1));
        }
        Ok(spool)
    }

    fn recorded_wrapping_key(&self) -> Result<Arc<dyn WrappingKey>, Failure> {
        Ok(Arc::new(RecordedWrappingKey::new(self.wrapping_key()?, self.audit()?)))
    }

    /// Where the spool lies.
    pub(super) fn spool_path(&self) -> Result<PathBuf, Failure> {
        Ok(self.resolve_spool()?.path)
    }

    /// The spool for looking only, without keys.
    pub(super) fn reader(&self) -> Result<SpoolReader, Failure> {
        let resolved = self.resolve_spool()?;
        match (SpoolReader::open(&resolved.path), resolved.published) {
            (Err(spool::SpoolError::Store(StoreError::Missing(_))), Some(published)) => Err(Failure::config(
                format!("{} is a spool of the published package", published.display()),
                "Run `local-vault spool import` once; the file itself stays as it is.",
            )),
            (reader, _) => Ok(reader?),
        }
    }

    /// The spool for an operator's hand, without keys.
    pub(super) fn control(&self) -> Result<SpoolControl, Failure> {
        Ok(SpoolControl::open(&self.resolve_spool()?.path, self.clock.clone())?)
    }

    /// The spool of the published package that lies at the configured path.
    pub(super) fn published_spool(&self) -> Result<Option<PathBuf>, Failure> {
        Ok(self.resolve_spool()?.published)
    }

    fn resolve_spool(&self) -> Result<Resolved, Failure> {
        resolve(&self.settings.spool, &spool::SCHEMA, is_published_spool)
    }

    /// Whether a published witness database lies at the configured path.
    pub(super) fn takes_over_a_witness(&self) -> Result<bool, Failure> {
        Ok(self.resolve_witness()?.published.is_some())
    }

    /// Whether `source` is a witness database of the published package.
    pub(super) fn is_published_witness(&self, source: &Path) -> Result<bool, Failure> {
        Ok(is_published_witness(source, &self.witness_path()?)?)
    }

    /// Where the witness database lies.
    pub(super) fn witness_path(&self) -> Result<PathBuf, Failure> {
        Ok(self.resolve_witness()?.path)
    }

    fn resolve_witness(&self) -> Result<Resolved, Failure> {
        resolve(&self.settings.witness.path, &witnessing::SCHEMA, is_published_witness)
    }

    /// Makes the folder of a store, as the published package does. Where there is a config file, a folder that is
    /// missing is a disk that is missing (I4).
    fn make_folder(&self, store: &Path) -> Result<(), Failure> {
        let Some(folder) = store.parent().filter(|_| self.settings.config_file.is_none()) else { return Ok(()) };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| Failure::io(&format!("cannot make {}", folder.display()), &e))
    }

    /// The way to the receiver.
    pub(super) fn client(&self, installation_id: Option<&str>) -> Result<Client, Failure> {
        self.client_of(self.endpoint(installation_id)?)
    }

    /// The way to another endpoint of the same receiver, or of one that is trusted as it is.
    pub(super) fn client_of(&self, endpoint: Endpoint) -> Result<Client, Failure> {
        let (trust, proxy) = (self.trust(), self.proxy()?);
        Ok(Client::new(&ClientConfig { endpoint, trust, proxy, timeout: TIMEOUT })?)
    }

    /// Who may answer there.
    pub(super) fn trust(&self) -> Trust {
        let relay = &self.settings.relay;
        Trust { ca_file: relay.ca_file.clone(), spki_pins: relay.spki_pins.clone() }
    }

    pub(super) fn endpoint(&self, installation_id: Option<&str>) -> Result<Endpoint, Failure> {
        let endpoint = self.settings.relay.endpoint.as_deref();
        Ok(Endpoint::parse(required(endpoint, "relay endpoint", "RELAY_URL", "relay.endpoint")?, installation_id)?)
    }

    pub(super) fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        let proxy = self.settings.relay.proxy.as_deref().map(Proxy::parse).transpose();
        proxy.map_err(|e| Failure::config(e.to_string(), "Mend relay.proxy."))
    }

    /// A relay on the configured spool. `installation_in_url`: whether the endpoint must name the installation.
    pub(super) async fn drain(&self, count_every_failure: bool, installation_in_url: bool) -> Result<Drain, Failure> {
        let relay = self.relay(count_every_failure, installation_in_url)?;
        let (spool, path) = self.spool_and_path().await?;
        self.attest_heads(&spool).await?;
        relay.start(&path, spool, self.clock.clone()).await
    }

    /// A relay on this spool, for a service that has it open already. The endpoint must name the installation.
    pub(super) async fn drain_on(&self, path: &Path, spool: Arc<Spool>) -> Result<Drain, Failure> {
        let relay = self.relay(false, true)?;
        self.attest_heads(&spool).await?;
        relay.start(path, spool, self.clock.clone()).await
    }

    fn relay(&self, count_every_failure: bool, installation_in_url: bool) -> Result<Relay, Failure> {
        let installation_id = self.installation_id()?.to_owned();
        let signer = self.signer(Purpose::Relay)?;
        let client = self.client(installation_in_url.then_some(installation_id.as_str()))?;
        let (parallel, audit) = (self.settings.relay.parallel, self.audit()?);
        Ok(Relay { signer, client, config: DrainConfig { installation_id, parallel, count_every_failure, audit } })
    }
}

/// The settings as flags, environment and config file are now.
pub(super) fn read_settings(flags: &Flags) -> Result<Settings, Failure> {
    Ok(Settings::load(flags, &variable)?)
}

/// The same, and the config file's text as it was read.
pub(super) fn read_settings_and_text(flags: &Flags) -> Result<(Settings, String), Failure> {
    Ok(Settings::load_with_text(flags, &variable)?)
}

/// The config file that is read, also where it is refused.
pub(super) fn config_file(flags: &Flags) -> Option<PathBuf> {
    Settings::find_file(flags, &variable)
}

fn variable(name: &str) -> Result<Option<String>, ()> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(()),
    }
}

/// Who may submit what: whom the allow-list names, or root and this process's user where there is none.
pub(super) fn rules(settings: &Settings) -> Result<Rules, Failure> {
    let reserved = settings.audit.stream_id.clone();
    match settings.ingest.producers.clone() {
        None => Ok(Rules::of_owner(rustix::process::geteuid().as_raw(), reserved)),
        Some(producers) => Rules::new(producers, reserved)
            .map_err(|e| Failure::config(e.to_string(), "Mend [[ingest.producers]] in the config file.")),
    }
}

/// What a relay needs beside its spool.
struct Relay {
    signer: Signer,
    client: Client,
    config: DrainConfig,
}

impl Relay {
    async fn start(self, path: &Path, spool: Arc<Spool>, clock: Arc<dyn Clock>) -> Result<Drain, Failure> {
        Ok(Drain::start(path, spool, self.signer, self.client, clock, self.config).await?)
    }
}

/// Where our store lies for a path that was named: there, or beside a database of the published package.
fn resolve(
    path: &Path,
    schema: &Schema,
    is_published: impl Fn(&Path, &Path) -> Result<bool, StoreError>,
) -> Result<Resolved, Failure> {
    let beside = with_suffix(path, ".local-vault");
    match file_kind(path, schema)? {
        FileKind::OtherDatabase if is_published(path, &beside)? => {
            Ok(Resolved { path: beside, published: Some(path.to_owned()) })
        }
        // The published file was taken away after it was imported.
        FileKind::Nothing if file_kind(&beside, schema)? == FileKind::Ours => {
            Ok(Resolved { path: beside, published: None })
        }
        // What is neither is refused by name when it is opened.
        _ => Ok(Resolved { path: path.to_owned(), published: None }),
    }
}

pub(super) fn required<'a>(value: Option<&'a str>, what: &str, variable: &str, key: &str) -> Result<&'a str, Failure> {
    value.ok_or_else(|| missing(what, variable, key))
}

fn missing(what: &str, variable: &str, key: &str) -> Failure {
    Failure::config(
        format!("ATTESTO_LOCAL_VAULT_{variable} is required: no {what} is configured"),
        format!("Set it, or {key} in the config file."),
    )
}
