use std::path::{Path, PathBuf};

use super::attestation::{self, FileAttestation};
use super::audit::{self, FileAudit};
use super::backend::Backend;
use super::ingest::{self, FileIngest};
use super::log::{self, FileLog};
use super::metrics::{self, MetricsSettings};
use super::reader::{Problems, Section};
use super::run::{self, RunSettings};
use super::settings::{KeyPlace, KeySetting};
use super::spool::{self, FileSpool};
#[cfg(feature = "pkcs11")]
use super::token::{self, TokenSettings};
#[cfg(feature = "tpm")]
use super::tpm::{self, TpmSettings};
use super::witness::{self, FileWitness};
use crate::custody::Protection;
use crate::custody::file::KeySource;
use crate::facts::Digest;

/// A commented config file that says everything there is to say.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Streams that may be sent at once.
const MOST_PARALLEL: usize = 256;

/// What a config file says, each thing where it is said.
#[derive(Debug, Default)]
pub(super) struct FileConfig {
    pub(super) installation_id: Option<String>,
    pub(super) stream_id: Option<String>,
    pub(super) spool: FileSpool,
    pub(super) witness: FileWitness,
    pub(super) endpoint: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) spki_pins: Option<Vec<Digest>>,
    pub(super) proxy: Option<String>,
    pub(super) parallel: Option<usize>,
    pub(super) idle_sleep: Option<f64>,
    pub(super) custody: FileCustody,
    pub(super) attestation: FileAttestation,
    pub(super) audit: FileAudit,
    pub(super) ingest: FileIngest,
    pub(super) log: FileLog,
    pub(super) metrics: MetricsSettings,
    pub(super) run: RunSettings,
}

/// Its `[custody]`.
#[derive(Debug, Default)]
pub(super) struct FileCustody {
    pub(super) backend: Backend,
    pub(super) minimum: Option<Protection>,
    pub(super) encryption_key: Option<KeySource>,
    #[cfg(feature = "pkcs11")]
    pub(super) token: Option<TokenSettings>,
    #[cfg(feature = "tpm")]
    pub(super) tpm: Option<TpmSettings>,
    pub(super) relay: Option<KeySetting>,
    pub(super) source: Option<KeySetting>,
    pub(super) witness: Option<KeySetting>,
    pub(super) witness_next: Option<KeySetting>,
    pub(super) record: Option<KeySetting>,
}

impl FileConfig {
    /// Reads the text of a config file in `folder`; what is wrong with it goes to `problems`.
    pub(super) fn read(text: &str, folder: &Path, problems: &Problems) -> Self {
        let mut config = Self::default();
        let mut whole = Section::whole(text, problems);

        let mut installation = whole.section("installation");
        config.installation_id = installation.text("id");
        config.stream_id = installation.text("stream_id");
        installation.end();

        let mut relay = whole.section("relay");
        config.endpoint = relay.text("endpoint");
        config.ca_file = relay.path("ca_file", folder);
        config.spki_pins = relay.list("spki_pins", "a list of 64 hex digits each", |pin| pin.parse().ok());
        config.proxy = relay.text("proxy");
        config.parallel = relay.count("parallel", MOST_PARALLEL);
        config.idle_sleep = relay.seconds("idle_sleep_seconds");
        relay.end();

        config.custody = custody(whole.section("custody"), folder);
        config.attestation = attestation::read(whole.section("attestation"), folder);
        config.audit = audit::read(whole.section("audit"), folder);
        config.ingest = ingest::read(whole.section("ingest"), folder);
        config.log = log::read(whole.section("log"));
        config.metrics = metrics::read(whole.section("metrics"), folder);
        config.run = run::read(whole.section("run"));
        config.witness = witness::read(whole.section("witness"), folder);
        config.spool = spool::read(whole.section("spool"), folder);
        whole.end();
        config
    }
}

fn custody(mut section: Section<'_>, folder: &Path) -> FileCustody {
    let backend = section.parsed("backend", Backend::EXPECTED, Backend::from_name).unwrap_or_default();
    let protections = "\"software\", \"device-released\" or \"device-resident\"";
    let minimum = section.parsed("minimum_protection", protections, Protection::from_name);
    let mut file = section.section("file");
    let encryption_key = secret_file(&mut file, "encryption_key_file", folder);
    file.end();
    #[cfg(feature = "pkcs11")]
    let token = token::read(section.section("pkcs11"), backend, folder);
    #[cfg(feature = "tpm")]
    let tpm = tpm::read(section.section("tpm"), backend, folder);
    let mut keys = section.section("keys");
    let mut key = |name| key(keys.section(name), backend, folder);
    let (relay, source, witness, record) = (key("relay"), key("source"), key("witness"), key("record"));
    let witness_next = key("witness_next");
    keys.end();
    section.end();
    FileCustody {
        backend,
        minimum,
        encryption_key,
        #[cfg(feature = "pkcs11")]
        token,
        #[cfg(feature = "tpm")]
        tpm,
        relay,
        source,
        witness,
        witness_next,
        record,
    }
}

fn key(mut section: Section<'_>, backend: Backend, folder: &Path) -> Option<KeySetting> {
    if section.is_empty() {
        return None;
    }
    let place = match backend {
        Backend::File => key_file(&mut section, folder),
        #[cfg(feature = "pkcs11")]
        Backend::Pkcs11 => token::read_key(&mut section),
        #[cfg(feature = "tpm")]
        Backend::Tpm => tpm::read_key(&mut section),
    };
    let kid = section.text("kid");
    section.end();
    Some(KeySetting { place: place?, kid: kid? })
}

fn key_file(section: &mut Section<'_>, folder: &Path) -> Option<KeyPlace> {
    section.needs(&["file", "kid"]);
    let source = secret_file(section, "file", folder);
    let passphrase = secret_file(section, "passphrase_file", folder);
    Some(KeyPlace::File { source: source?, passphrase })
}

/// A file that holds a secret. Errors name files, so a key that stands here by mistake is refused unseen.
fn secret_file(section: &mut Section<'_>, key: &str, folder: &Path) -> Option<KeySource> {
    section.parsed(key, "the name of a file, and not the key itself", |text| {
        (!text.is_empty() && !is_key(text)).then(|| KeySource::File(folder.join(text)))
    })
}

/// Whether text looks like 32 bytes in hex or in padded base64.
fn is_key(text: &str) -> bool {
    let hex = text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    hex || (text.len() == 44 && text.ends_with('='))
}
