use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::attestation::AttestationSettings;
use super::audit::AuditSettings;
use super::backend::Backend;
use super::file::{FileConfig, FileCustody};
use super::ingest::IngestSettings;
use super::log::{LogFormat, LogLevel, LogSettings};
use super::metrics::MetricsSettings;
use super::reader::Problems;
use super::run::RunSettings;
use super::sources::{PREFIX, Sources};
use super::spool::Bounds;
#[cfg(feature = "pkcs11")]
use super::token::TokenSettings;
#[cfg(feature = "tpm")]
use super::tpm::TpmSettings;
use super::witness::WitnessSettings;
use crate::custody::Protection;
use crate::custody::file::KeySource;
#[cfg(feature = "pkcs11")]
use crate::custody::pkcs11::KeyName;
use crate::facts::Digest;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
use crate::protocol::PublicKey;

/// Everything that was configured, from all sources, in agreement with one another.
#[derive(Debug)]
pub struct Settings {
    /// The config file, where there is one.
    pub config_file: Option<PathBuf>,
    /// Whom we attest and relay for.
    pub installation_id: Option<String>,
    /// Who witnesses: the installation, where a config file names it.
    pub witness_id: Option<String>,
    /// Where `attest` puts what names no stream.
    pub stream_id: Option<String>,
    /// The spool.
    pub spool: PathBuf,
    /// How much the spool takes and keeps.
    pub bounds: Bounds,
    /// How checkpoints are witnessed.
    pub witness: WitnessSettings,
    /// Where to and how.
    pub relay: RelaySettings,
    /// Which keys.
    pub custody: CustodySettings,
    /// What has to be shown of the relay key's custody, and to whom.
    pub attestation: AttestationSettings,
    /// Where all of it is written down.
    pub audit: AuditSettings,
    /// The local socket, and who may submit what over it.
    pub ingest: IngestSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where a relay tells what it measures.
    pub metrics: MetricsSettings,
    /// How `run` ends.
    pub run: RunSettings,
}

/// How to reach the receiver.
#[derive(Debug)]
pub struct RelaySettings {
    /// The events endpoint.
    pub endpoint: Option<String>,
    /// Authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Public keys of which the receiver must have one.
    pub spki_pins: Vec<Digest>,
    /// The way there, where it is not direct.
    pub proxy: Option<String>,
    /// Streams that are sent at once.
    pub parallel: usize,
    /// Between two looks at an empty spool, in seconds.
    pub idle_sleep: f64,
}

/// Where the keys come from.
#[derive(Debug)]
pub struct CustodySettings {
    /// What every key must reach.
    pub minimum: Protection,
    /// The root key of the file backend. It opens published spools in any case.
    pub encryption_key: Option<KeySource>,
    /// A token that holds keys.
    #[cfg(feature = "pkcs11")]
    pub token: Option<TokenSettings>,
    /// A TPM that holds keys.
    #[cfg(feature = "tpm")]
    pub tpm: Option<TpmSettings>,
    /// Signs envelopes.
    pub relay: Option<KeySetting>,
    /// Signs source attestations.
    pub source: Option<KeySetting>,
    /// Signs witness statements.
    pub witness: Option<KeySetting>,
    /// Signs them after the next rotation.
    pub witness_next: Option<KeySetting>,
    /// Signs our own records; derived from the root key where it is not named.
    pub record: Option<KeySetting>,
    /// Whether relay and witness share one key, as the published settings have it.
    pub published_signing_key: bool,
}

/// A signing key.
#[derive(Debug, Clone)]
pub struct KeySetting {
    /// Where it is.
    pub place: KeyPlace,
    /// The name under which verifiers know it.
    pub kid: String,
}

/// Where a signing key is.
#[derive(Debug, Clone)]
pub enum KeyPlace {
    /// In a file or a setting.
    File {
        /// Which.
        source: KeySource,
        /// What opens it, where it is encrypted.
        passphrase: Option<KeySource>,
    },
    /// In the token.
    #[cfg(feature = "pkcs11")]
    Token {
        /// By this name.
        name: KeyName,
        /// With this public half. The published settings do not pin it.
        public_key: Option<PublicKey>,
    },
    /// In the TPM: a sealed seed, or a key that is resident.
    #[cfg(feature = "tpm")]
    Tpm {
        /// By this label.
        label: String,
        /// With this public half.
        public_key: PublicKey,
    },
}

/// What the command line said.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--spool-db`
    pub spool_db: Option<PathBuf>,
    /// `--witness-db`
    pub witness_db: Option<PathBuf>,
    /// `--installation-id`
    pub installation_id: Option<String>,
    /// `--witness-id`
    pub witness_id: Option<String>,
    /// `--endpoint-url`
    pub endpoint_url: Option<String>,
    /// `--key-id` of a command that relays
    pub key_id: Option<String>,
    /// `--key-id` of a command that witnesses
    pub witness_key_id: Option<String>,
    /// `--log`
    pub log: Option<LogLevel>,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
    /// Whether the command is a service, which keeps the last lines of its log.
    pub is_service: bool,
}

/// The environment, or a test's stand-in for it: a variable's value, `Err` where it is not text.
pub type Environment<'a> = &'a dyn Fn(&str) -> Result<Option<String>, ()>;

/// Everything that is wrong with the settings, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// The published package's defaults.
const SPOOL: &str = "local-vault-spool.sqlite3";
const PARALLEL: usize = 8;
const IDLE_SLEEP: f64 = 5.0;

impl Settings {
    /// The config file that would be read, where there is one.
    pub fn find_file(flags: &Flags, environment: Environment<'_>) -> Option<PathBuf> {
        let problems = RefCell::default();
        Sources { flags, environment, problems: &problems }.config_file()
    }

    /// Reads and merges all sources. Blocks on the config file.
    pub fn load(flags: &Flags, environment: Environment<'_>) -> Result<Self, ConfigError> {
        Self::load_with_text(flags, environment).map(|(settings, _)| settings)
    }

    /// The same, and the config file's text as it was read; empty where there is none.
    pub fn load_with_text(flags: &Flags, environment: Environment<'_>) -> Result<(Self, String), ConfigError> {
        let problems = RefCell::default();
        let sources = Sources { flags, environment, problems: &problems };
        let config_file = sources.config_file();
        let (file, text) = config_file.as_deref().map(|path| read_file(path, &problems)).unwrap_or_default();
        let settings = sources.merge(config_file, file);
        let problems = problems.into_inner();
        if problems.is_empty() { Ok((settings, text)) } else { Err(ConfigError(problems)) }
    }
}

fn read_file(path: &Path, problems: &RefCell<Vec<String>>) -> (FileConfig, String) {
    let found = Problems::default();
    let (config, text) = match std::fs::read_to_string(path) {
        Ok(text) => (FileConfig::read(&text, path.parent().unwrap_or(Path::new(".")), &found), text),
        Err(e) => {
            problems.borrow_mut().push(format!("{}: cannot be read: {e}", path.display()));
            Default::default()
        }
    };
    let mut found = found.into_inner();
    found.sort();
    problems.borrow_mut().extend(found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())));
    (config, text)
}

impl Sources<'_> {
    fn merge(&self, config_file: Option<PathBuf>, file: FileConfig) -> Settings {
        let given = &self.flags;
        let witness_id = file.installation_id.clone();
        if config_file.is_some() {
            self.trust_is_the_files("CA_FILE", "relay.ca_file", file.ca_file.is_some());
            self.trust_is_the_files("SPKI_PINS", "relay.spki_pins", file.spki_pins.is_some());
            if file.endpoint.is_some() && file.ca_file.is_none() {
                self.authorities_are_the_systems();
            }
        }
        self.enough_is_asked_for(config_file.is_some(), file.custody.backend);
        let installation_id =
            self.agreed("INSTALLATION_ID", "installation.id", &given.installation_id, file.installation_id);
        let witness_id = self.agreed("WITNESS_ID", "installation.id", &given.witness_id, witness_id);
        let spool = self.agreed("SPOOL_DB", "spool.path", &given.spool_db, file.spool.path);
        let witness = self.agreed("WITNESS_DB", "witness.path", &given.witness_db, file.witness.path.clone());
        Settings {
            installation_id,
            witness_id,
            stream_id: self.variable("STREAM_ID").or(file.stream_id),
            audit: file.audit.settle(spool.as_deref(), witness.as_deref(), Path::new(SPOOL)),
            ingest: file.ingest.settle(spool.as_deref().unwrap_or(Path::new(SPOOL))),
            bounds: file.spool.bounds,
            spool: spool.unwrap_or_else(|| SPOOL.into()),
            witness: file.witness.settle(witness, config_file.is_some()),
            relay: RelaySettings {
                endpoint: self.agreed("RELAY_URL", "relay.endpoint", &given.endpoint_url, file.endpoint),
                ca_file: self.agreed("CA_FILE", "relay.ca_file", &None, file.ca_file),
                spki_pins: self.pins(file.spki_pins),
                proxy: self.agreed("PROXY", "relay.proxy", &None, file.proxy),
                parallel: file.parallel.unwrap_or(PARALLEL),
                idle_sleep: self.idle_sleep(file.idle_sleep),
            },
            attestation: self.attestation(file.attestation, config_file.as_deref(), &file.custody),
            custody: self.custody(file.custody, config_file.is_some()),
            // How much is told is no matter of trust: here a flag goes before the file (I8 does not apply).
            log: LogSettings {
                level: given.log.or(file.log.level).unwrap_or_default(),
                format: given.log_format.or(file.log.format),
                keeps_lines: given.is_service,
            },
            metrics: file.metrics,
            run: file.run,
            config_file,
        }
    }

    fn custody(&self, file: FileCustody, has_file: bool) -> CustodySettings {
        #[cfg(feature = "pkcs11")]
        let (token, in_token) = self.token(&file, has_file);
        #[cfg(not(feature = "pkcs11"))]
        let (in_token, _) = (None, has_file);
        let FileCustody { backend, minimum, encryption_key, relay, source, witness, witness_next, record, .. } = file;
        let root = self.secret("ATTESTO_LOCAL_VAULT_ENCRYPTION_KEY", encryption_key.is_some());
        let named = relay.is_some() || witness.is_some() || in_token.is_some();
        let signing = self.secret("ATTESTO_LOCAL_VAULT_SIGNING_KEY", named);
        if signing.is_some() && !named && backend != Backend::File {
            self.problem(format!("{PREFIX}SIGNING_KEY is a key in software, and custody.backend asks for another"));
        }
        // An empty flag counts as none, as the published package has it.
        let given = |flag: &Option<String>| flag.clone().filter(|kid| !kid.is_empty());
        let (relay_kid, witness_kid) = (given(&self.flags.key_id), given(&self.flags.witness_key_id));
        let published = match signing.map(|source| KeyPlace::File { source, passphrase: None }).or(in_token) {
            Some(place) => {
                let kid = relay_kid.or(witness_kid).or_else(|| self.variable("KEY_ID"));
                Some(KeySetting { place, kid: kid.unwrap_or_default() })
            }
            None => {
                // The variable names the key of the relay; only the flag of a witness names another.
                let kid = |key: &Option<KeySetting>| key.as_ref().map(|key| key.kid.clone());
                self.agreed("KEY_ID", "custody.keys.relay.kid", &relay_kid, kid(&relay));
                if let (Some(given), Some(kid)) = (witness_kid, kid(&witness)) {
                    self.same("KEY_ID", "custody.keys.witness.kid", &given, &kid);
                }
                None
            }
        };
        CustodySettings {
            minimum: minimum.unwrap_or(Protection::Software),
            encryption_key: encryption_key.or(root),
            #[cfg(feature = "pkcs11")]
            token,
            #[cfg(feature = "tpm")]
            tpm: file.tpm,
            published_signing_key: published.is_some(),
            relay: relay.or_else(|| published.clone()),
            witness: witness.or(published),
            witness_next,
            source,
            record,
        }
    }

    fn pins(&self, configured: Option<Vec<Digest>>) -> Vec<Digest> {
        let Some(text) = self.variable("SPKI_PINS") else { return configured.unwrap_or_default() };
        let pins: Option<Vec<Digest>> = text.split(',').map(|pin| pin.trim().parse().ok()).collect();
        let Some(pins) = pins else {
            self.problem(format!("{PREFIX}SPKI_PINS must be 64 hex digits each, with commas between them"));
            return Vec::new();
        };
        if configured.is_some_and(|configured| configured != pins) {
            self.problem(format!("{PREFIX}SPKI_PINS contradicts relay.spki_pins in the config file"));
        }
        pins
    }

    fn idle_sleep(&self, configured: Option<f64>) -> f64 {
        let Some(text) = self.variable("IDLE_SLEEP_SECONDS") else { return configured.unwrap_or(IDLE_SLEEP) };
        match text.trim().parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 && seconds.is_finite() => seconds,
            Ok(_) => {
                self.problem(format!("{PREFIX}IDLE_SLEEP_SECONDS must be non-negative"));
                IDLE_SLEEP
            }
            Err(_) => {
                self.problem(format!("{PREFIX}IDLE_SLEEP_SECONDS must be a number"));
                IDLE_SLEEP
            }
        }
    }
}
